/** Of a detector: the objects in a picture, their pixels, and a picture below them; as convnext_edge/images/objects.py. */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const NONE = -1; // label of a place without a detection
  const EDGE = 28; // rows and columns of a mask
  const FRAMED = EDGE + 2; // with a border of zeros
  const INSIDE = 0.5; // likelihood over which a pixel is of the object
  const COVER = 0.4; // share of an object's colour in an overlay
  const LINE = 2; // pixels

  const clamp = (value, most) => Math.min(Math.max(value, 0), most);

  /** How what the model sees lies in itself, as `fitOf` of preprocess.js tells it of a picture. */
  const asItIs = ({ width, resolution }) => ({ width, height: resolution, left: 0, top: 0 });

  /** A box of the input in pixels of a picture that lies there as `fit` says; it may lie beyond its edges. */
  function inPicture([left, top, right, bottom], { width, height }, fit) {
    const x = (place) => (place - fit.left) * (width / fit.width);
    const y = (place) => (place - fit.top) * (height / fit.height);
    return { left: x(left), top: y(top), right: x(right), bottom: y(bottom) };
  }

  /** A box cut off at the edges of a picture; of one that lies beyond, nothing is left. */
  const cutOff = ({ left, top, right, bottom }, { width, height }) => ({
    left: clamp(left, width),
    top: clamp(top, height),
    right: clamp(right, width),
    bottom: clamp(bottom, height),
  });

  /**
   * The objects with a higher score than the threshold, the surest first:
   * `{ index, score, box, whole, picture, likely }`, `whole` being the box before it was cut off at the picture's edges.
   *
   * outputs: values of boxes, labels, scores and masks. picture: `{ width, height }` that boxes are in pixels of. fit: how
   * it lies in the input.
   */
  function objectsOf([boxes, labels, scores, masks], threshold, picture, fit) {
    const found = [];
    const { width, height } = picture;
    labels.forEach((index, i) => {
      if (index === NONE || !(scores[i] > Math.fround(threshold))) return;
      const whole = inPicture(boxes.subarray(4 * i, 4 * i + 4), picture, fit);
      const box = cutOff(whole, picture);
      if (!(box.right > box.left && box.bottom > box.top)) return; // in the padding
      const likely = masks.slice(EDGE * EDGE * i, EDGE * EDGE * (i + 1));
      found.push({ index, score: scores[i], box, whole, picture: { width, height }, likely });
    });
    return found;
  }

  /**
   * The pixels that a mask is drawn over along one axis, as torchvision's paste_masks_in_image has them: the box is as
   * much larger as the border makes the mask. Of these, those from `first` to `end` are in the picture.
   */
  function spanOf(low, high, edge) {
    const centre = (low + high) / 2;
    const half = ((high - low) / 2) * (FRAMED / EDGE);
    const begin = Math.trunc(centre - half);
    const pixels = Math.max(Math.trunc(centre + half) - begin + 1, 1);
    const first = Math.max(begin, 0);
    return { begin, first, end: Math.max(Math.min(begin + pixels, edge), first), scale: Math.fround(FRAMED / pixels) };
  }

  /** The two parts of a mask that each pixel of a span lies between, and the share of the second; in float32, as NumPy. */
  function neighboursIn({ begin, first, end, scale }) {
    return Array.from({ length: end - first }, (_, i) => {
      const stretched = Math.fround(Math.fround(first + i - begin + 0.5) * scale);
      const place = Math.max(Math.fround(stretched - 0.5), 0);
      const one = Math.floor(place);
      const share = Math.fround(place - one);
      return { one, other: Math.min(one + 1, FRAMED - 1), share, rest: Math.fround(1 - share) };
    });
  }

  const mean = (values, { one, other, share, rest }) =>
    Math.fround(Math.fround(values[one] * rest) + Math.fround(values[other] * share));

  /** The mask within a border of zeros, row by row. */
  function framed(likely) {
    const rows = Array.from({ length: FRAMED }, () => new Float32Array(FRAMED));
    for (let row = 0; row < EDGE; row++) rows[row + 1].set(likely.subarray(EDGE * row, EDGE * (row + 1)), 1);
    return rows;
  }

  /**
   * The pixels of an object: `{ left, top, width, height, inside }`, a rectangle of the picture with 1 for a pixel of the
   * object and 0 for another, row by row; outside, none is.
   */
  function maskOf({ likely, whole, picture }) {
    const across = spanOf(whole.left, whole.right, picture.width);
    const down = spanOf(whole.top, whole.bottom, picture.height);
    const [width, height] = [across.end - across.first, down.end - down.first];
    const inside = new Uint8Array(width * height);
    const [rows, beside, above] = [framed(likely), neighboursIn(across), neighboursIn(down)];
    for (let x = 0; x < width; x++) {
      const column = rows.map((row) => mean(row, beside[x]));
      for (let y = 0; y < height; y++) inside[width * y + x] = mean(column, above[y]) > INSIDE ? 1 : 0;
    }
    return { left: across.first, top: down.first, width, height, inside };
  }

  /** Red, green and blue of an object, as in the overlays of `convnext-edge predict`. */
  const colorOfObject = ({ index }) => ours.colorOf(1 + (index % 255));

  /** Fills pixels (rows, width, 3) from `left`, `top` to `right`, `bottom`; what lies outside is left out. */
  function fill(pixels, width, [left, top, right, bottom], color) {
    const rows = pixels.length / (3 * width);
    for (let y = Math.max(top, 0); y <= Math.min(bottom, rows - 1); y++) {
      for (let x = Math.max(left, 0); x <= Math.min(right, width - 1); x++) pixels.set(color, 3 * (width * y + x));
    }
  }

  /** Draws the pixels of Pillow's `rectangle`. */
  function outline(pixels, width, { box }, color) {
    const [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom].map(Math.trunc);
    // its lines leave their last pixel out, and those of a low box run upwards
    const [one, other] = [top + LINE, bottom - LINE + 1];
    const [high, low] = one < other ? [one, other - 1] : [other + 1, one];
    fill(pixels, width, [left, top, right, top + LINE - 1], color);
    fill(pixels, width, [left, bottom - LINE + 1, right, bottom], color);
    fill(pixels, width, [right - LINE + 1, high, right, low], color);
    fill(pixels, width, [left, high, left + LINE - 1, low], color);
  }

  /** A picture (rows, width, 3) below the masks and boxes of the objects in it, the surest on top. */
  function overlayObjects(pixels, width, objects) {
    const mixed = Float32Array.from(pixels);
    const below = [...objects].reverse();
    for (const object of below) {
      const [mask, color] = [maskOf(object), colorOfObject(object)];
      mask.inside.forEach((inside, i) => {
        if (!inside) return;
        const [x, y] = [mask.left + (i % mask.width), mask.top + Math.floor(i / mask.width)];
        color.forEach((value, channel) => {
          const at = 3 * (width * y + x) + channel;
          mixed[at] = Math.fround(Math.fround(1 - COVER) * mixed[at]) + COVER * value;
        });
      });
    }
    const drawn = Uint8ClampedArray.from(mixed); // to the nearest, and halves to the even one
    for (const object of below) outline(drawn, width, object, colorOfObject(object));
    return drawn;
  }

  Object.assign(ours, { asItIs, objectsOf, maskOf, colorOfObject, overlayObjects });
})();
