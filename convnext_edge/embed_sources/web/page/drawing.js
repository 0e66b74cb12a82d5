/** What the page draws on its canvas. */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const NAMES = 40; // letters are as high as this part of the canvas is wide, or LOWEST
  const LOWEST = 10; // pixels

  /** Gives a canvas the pixels (height, width, 3) of an image, and its size. */
  function drawPixels(canvas, pixels, width, height) {
    Object.assign(canvas, { width, height });
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      image.data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i);
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  /** Writes a text for each object into the corner of its box, that of the surest on top. */
  function drawNames(canvas, objects, textOf) {
    const context = canvas.getContext("2d");
    context.font = `${Math.max(LOWEST, Math.round(canvas.width / NAMES))}px sans-serif`;
    context.textBaseline = "top";
    context.strokeStyle = "black";
    context.fillStyle = "white";
    context.lineWidth = 3;
    for (const object of [...objects].reverse()) {
      const text = textOf(object);
      const rightmost = Math.max(0, canvas.width - 3 - context.measureText(text).width); // a longer text begins at the edge
      const [x, y] = [Math.min(object.box.left + 3, rightmost), object.box.top + 2];
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    }
  }

  Object.assign(ours, { drawPixels, drawNames });
})();
