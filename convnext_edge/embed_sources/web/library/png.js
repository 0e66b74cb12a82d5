/**
 * PNG (W3C Recommendation "Portable Network Graphics", 3rd edition) to RGBA bytes, as Pillow reads it.
 *
 * A browser's own decoder would blend transparent pixels when they are read back from a canvas, and bend colours to
 * a profile. Samples of 16 bits keep their upper byte; gamma and profiles are left out of account.
 */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
  const GRAY = 0;
  const PALETTE = 3;
  const CHANNELS = { [GRAY]: 1, 2: 3, [PALETTE]: 1, 4: 2, 6: 4 }; // by colour type
  const DEPTHS = { [GRAY]: [1, 2, 4, 8, 16], 2: [8, 16], [PALETTE]: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
  // Adam7: first column and row of each pass, and the steps from one to the next
  const PASSES = [
    [0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2],
  ]; // prettier-ignore

  const damaged = (why) => new ours.ImageError(`the PNG is damaged: ${why}`, "Take another copy of the picture.");

  const isPng = (bytes) => SIGNATURE.every((value, i) => bytes[i] === value);

  /** The chunks up to the end as [type, bytes]. */
  function* chunks(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = SIGNATURE.length; at + 12 <= bytes.length; ) {
      const length = view.getUint32(at);
      const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
      if (at + 12 + length > bytes.length) throw damaged(`it ends within ${type}`);
      yield [type, bytes.subarray(at + 8, at + 8 + length)];
      if (type === "IEND") return;
      at += 12 + length;
    }
    throw damaged("it has no end");
  }

  function readHeader(bytes) {
    if (bytes?.length !== 13) throw damaged("it has no header");
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const [depth, colour, compression, filter, interlaced] = bytes.subarray(8);
    const header = { width: view.getUint32(0), height: view.getUint32(4), depth, colour, interlaced };
    const known = DEPTHS[colour]?.includes(depth) && compression === 0 && filter === 0 && interlaced <= 1;
    if (!known || header.width === 0 || header.height === 0) throw damaged("its header has values out of range");
    ours.checkSize(header.width, header.height);
    return { ...header, bits: depth * CHANNELS[colour] };
  }

  /** The parts of the picture as they follow each other: one, or up to seven that are interlaced. */
  function passes({ width, height, interlaced }) {
    const all = interlaced ? PASSES : [[0, 0, 1, 1]];
    const count = (length, start, step) => Math.ceil((length - start) / step);
    return all
      .map(([x, y, dx, dy]) => ({ x, y, dx, dy, columns: count(width, x, dx), rows: count(height, y, dy) }))
      .filter(({ columns, rows }) => columns > 0 && rows > 0);
  }

  async function inflate(parts, expected) {
    const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
    const made = new Uint8Array(expected);
    let length = 0;
    try {
      for (const reader = stream.getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) break;
        made.set(value.subarray(0, expected - length), length);
        length = Math.min(expected, length + value.length);
      }
    } catch {
      throw damaged("its pixels cannot be decompressed");
    }
    if (length < expected) throw damaged(`it has ${length} bytes of pixels in place of ${expected}`);
    return made;
  }

  /** The predictor of the standard's section 9.4. */
  function paeth(left, up, corner) {
    const toLeft = Math.abs(up - corner);
    const toUp = Math.abs(left - corner);
    const toCorner = Math.abs(left + up - 2 * corner);
    if (toLeft <= toUp && toLeft <= toCorner) return left;
    return toUp <= toCorner ? up : corner;
  }

  /** What a filter adds to a byte, from the bytes to its left, above it, and above to its left. */
  const PREDICTORS = [() => 0, (left) => left, (_, up) => up, (left, up) => (left + up) >> 1, paeth];

  /** Undoes the filter of one row in place; before: the row above; step: bytes from one pixel to the next. */
  function unfilter(kind, row, before, step) {
    const predict = PREDICTORS[kind];
    if (!predict) throw damaged(`a row has filter ${kind}`);
    if (kind === 0) return;
    for (let i = 0; i < row.length; i++) {
      const inside = i >= step;
      row[i] += predict(inside ? row[i - step] : 0, before[i], inside ? before[i - step] : 0);
    }
  }

  /** Sample `index` of a row: its upper 8 bits, as a number of up to `depth` bits. */
  function sample(row, index, depth) {
    if (depth >= 8) return row[(index * depth) >> 3];
    const bit = index * depth;
    return (row[bit >> 3] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
  }

  /** What writes pixel `x` of a row to `made` at `at`, as RGBA, for the kind of picture that `image` is. */
  function pixelWriter({ colour, depth, palette, alphas }) {
    if (colour === PALETTE) {
      return (row, x, made, at) => {
        const index = sample(row, x, depth);
        for (let c = 0; c < 3; c++) made[at + c] = palette[3 * index + c] ?? 0;
        made[at + 3] = alphas?.[index] ?? 255;
      };
    }
    const channels = CHANNELS[colour];
    const scale = depth < 8 ? 255 / ((1 << depth) - 1) : 1;
    const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
    return (row, x, made, at) => {
      const first = x * channels;
      made[at] = scale * sample(row, first, depth);
      made[at + 1] = scale * sample(row, first + green, depth);
      made[at + 2] = scale * sample(row, first + blue, depth);
      made[at + 3] = channels % 2 === 0 ? sample(row, first + channels - 1, depth) : 255;
    };
  }

  /** Opens the PNG in `bytes`: `{ data, width, height }` as ImageData has them. Throws ImageError. */
  async function decodePng(bytes) {
    const found = {};
    const parts = [];
    for (const [type, data] of chunks(bytes)) {
      if (type === "IDAT") parts.push(data);
      else found[type] ??= data;
    }
    const image = { ...readHeader(found.IHDR), palette: found.PLTE, alphas: found.tRNS };
    if (image.colour === PALETTE && !image.palette) throw damaged("it has no palette");
    const { width, height, bits } = image;
    const stretches = passes(image);
    const bytesOf = ({ columns }) => 1 + Math.ceil((columns * bits) / 8);
    const raw = await inflate(parts, stretches.reduce((sum, part) => sum + part.rows * bytesOf(part), 0));
    const made = new Uint8ClampedArray(4 * width * height);
    const write = pixelWriter(image);
    let at = 0;
    for (const part of stretches) {
      let before = new Uint8Array(bytesOf(part)); // of zeros above the first row
      for (let y = 0; y < part.rows; y++, at += bytesOf(part)) {
        const row = raw.subarray(at + 1, at + bytesOf(part));
        unfilter(raw[at], row, before, Math.max(1, bits >> 3));
        for (let x = 0; x < part.columns; x++) {
          write(row, x, made, 4 * ((part.y + y * part.dy) * width + part.x + x * part.dx));
        }
        before = row;
      }
    }
    return { data: made, width, height };
  }

  Object.assign(ours, { isPng, decodePng });
})();
