/** From a picture's pixels to the model's input, as convnext_edge/images/transform.py does it in Python. */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const MAX_PIXELS = Math.floor(2 ** 30 / 12); // of images/decoding.py

  function checkSize(width, height) {
    if (width * height > MAX_PIXELS) {
      throw new ours.ImageError(`${width}x${height} pixels, more than ${MAX_PIXELS} in all`, "Make it smaller.");
    }
  }

  function checkImage({ data, width, height }) {
    if (!(Number.isInteger(width) && Number.isInteger(height) && width >= 1 && height >= 1)) {
      throw new ours.ImageError(`an image of ${width}x${height} pixels has none`, "Give width and height from 1.");
    }
    checkSize(width, height);
    if (data?.length !== 4 * width * height) {
      const what = `${data?.length ?? "no"} bytes are given, ${width}x${height} pixels need ${4 * width * height}`;
      throw new ours.ImageError(what, "Give RGBA, as ImageData has it.");
    }
  }

  /** To the nearest whole number, and halves to the even one, as Python's round() does. */
  function nearest(value) {
    const down = Math.floor(value);
    const rest = value - down;
    return rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down;
  }

  /** Size before the crop. prepared: the manifest. */
  function resizedSize({ width, height }, prepared) {
    const edge = prepared.resize ?? Math.floor(prepared.resolution / prepared.crop);
    const wide = prepared.resize ?? Math.floor(prepared.width / prepared.crop);
    if (prepared.resizeMode === "squash") return { width: wide, height: edge };
    const inside = ["pad", "corner"].includes(prepared.resizeMode);
    if (inside || edge !== wide) {
      // timm's ResizeKeepRatio: the image lies within both edges, or covers them
      const ratio = (inside ? Math.max : Math.min)(height / edge, width / wide);
      return { width: nearest(width / ratio), height: nearest(height / ratio) };
    }
    if (width <= height) return { width: edge, height: Math.trunc((edge * height) / width) };
    return { width: Math.trunc((edge * width) / height), height: edge };
  }

  /**
   * Whether Pillow resizes the columns before the rows, which changes the rounding in between: since version 13,
   * where the height shrinks by more than twice as many pixels as the width (pull request 9549; found by experiment).
   */
  function columnsFirst(image, size) {
    const shrunk = Math.max(image.width - size.width, 0);
    return image.height > size.height && image.height - size.height > 2 * shrunk;
  }

  /** Where the resized image and the input overlap, along one axis: from the first pixel of each, and how many. */
  function overlap(resized, edge, { resizeMode, roundDown }) {
    const corner = resizeMode === "corner";
    if (resized < edge) return { first: 0, count: resized, place: corner ? 0 : Math.floor((edge - resized) / 2) };
    const half = corner ? 0 : (resized - edge) / 2;
    return { first: roundDown ? Math.floor(half) : nearest(half), count: edge, place: 0 };
  }

  /** Where `image` lies in the input: its size there before the crop, and the place of its upper left corner. */
  function fitOf(image, prepared) {
    const size = resizedSize(image, prepared);
    const across = overlap(size.width, prepared.width, prepared);
    const down = overlap(size.height, prepared.resolution, prepared);
    return { ...size, left: across.place - across.first, top: down.place - down.first };
  }

  /** Lays (count of `down`, count of `across`, 3) bytes into an image of the input's size. */
  function pad(pixels, across, down, { resolution, width, padColor }) {
    if (across.count === width && down.count === resolution) return pixels;
    const padded = new Uint8ClampedArray(3 * resolution * width);
    for (let i = 0; i < padded.length; i++) padded[i] = padColor[i % 3];
    const row = 3 * across.count;
    for (let y = 0; y < down.count; y++) {
      padded.set(pixels.subarray(row * y, row * (y + 1)), 3 * (width * (down.place + y) + across.place));
    }
    return padded;
  }

  /**
   * Resizes, pads and crops to what the model sees.
   *
   * image: `{ data, width, height }` of RGBA bytes, as ImageData has them; alpha is left out of account.
   * prepared: the manifest. Returns (resolution, width, 3) bytes.
   * Throws ImageError.
   */
  function prepareImage(image, prepared) {
    checkImage(image);
    const size = resizedSize(image, prepared);
    if (size.width * size.height > MAX_PIXELS || Math.min(size.width, size.height) < 1) {
      throw new ours.ImageError(`${image.width}x${image.height} pixels are too elongated to resize`);
    }
    const filter = ours.findFilter(prepared.interpolation);
    const { ofTensors } = prepared;
    const inRow = overlap(size.width, prepared.width, prepared);
    const inColumn = overlap(size.height, prepared.resolution, prepared);
    const across = new ours.Taps(filter, image.width, size.width, inRow, ofTensors);
    const down = new ours.Taps(filter, image.height, size.height, inColumn, ofTensors);
    return pad(resample(image, size, across, down, ofTensors), inRow, inColumn, prepared);
  }

  /** (down.count, across.count, 3) bytes. rowsFirst: whether the rows are resized first, whatever Pillow does. */
  function resample(image, size, across, down, rowsFirst) {
    const whole = { samples: image.data, width: image.width, channels: 4 };
    if (!rowsFirst && columnsFirst(image, size)) {
      const samples = ours.resizeColumns(whole, across.begin, across.end, down);
      const width = across.end - across.begin;
      return ours.resizeRows({ samples, width, channels: 3, shift: across.begin }, 0, down.count, across);
    }
    const samples = ours.resizeRows(whole, down.begin, down.end, across);
    return ours.resizeColumns({ samples, width: across.count, channels: 3, shift: down.begin }, 0, across.count, down);
  }

  /** (value / 255 - mean) / std by channel, in float32 as NumPy computes it; (3, 256). */
  function normalization({ mean, std }) {
    const table = new Float32Array(3 * 256);
    for (let i = 0; i < table.length; i++) {
      const channel = i >> 8;
      const scaled = Math.fround((i & 255) / 255);
      table[i] = Math.fround(scaled - Math.fround(mean[channel])) / Math.fround(std[channel]);
    }
    return table;
  }

  /** From (H, W, 3) bytes to (3, H, W): of bytes where `table` is null, else of what it has for each byte. */
  function toPlanes(pixels, table) {
    const plane = pixels.length / 3;
    const made = table === null ? new Uint8Array(pixels.length) : new Float32Array(pixels.length);
    for (let channel = 0; channel < 3; channel++) {
      for (let i = 0; i < plane; i++) {
        const value = pixels[3 * i + channel];
        made[plane * channel + i] = table === null ? value : table[256 * channel + value];
      }
    }
    return made;
  }

  Object.assign(ours, { checkSize, fitOf, prepareImage, normalization, toPlanes });
})();
