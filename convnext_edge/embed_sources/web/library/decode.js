/**
 * From a file to pixels: PNG by our own decoder, all else by the browser's, kept from what Python does not do
 * either: bending its colours to a profile, and turning the picture as its EXIF data say where the model was not
 * trained so.
 */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const EXIF = 0xe1; // APP1
  const PROFILE = 0xe2; // APP2
  const SCAN = 0xda; // SOS: what follows is the picture itself
  const ORIENTATION = 0x0112;

  const isJpeg = (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;

  /** The segments of a JPEG before its first scan as `{ marker, start, end }`, and one for all that follows. */
  function segments(bytes) {
    const found = [];
    let at = 2;
    while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== SCAN) {
      const end = bytes[at + 1] === 0xff ? at + 1 : at + 2 + bytes[at + 2] * 256 + bytes[at + 3];
      found.push({ marker: bytes[at + 1], start: at, end });
      at = end;
    }
    return [...found, { marker: SCAN, start: at, end: bytes.length }];
  }

  /** The JPEG without EXIF data and colour profile. */
  function stripped(bytes) {
    const kept = segments(bytes).filter(({ marker }) => marker !== EXIF && marker !== PROFILE);
    return new Blob([bytes.subarray(0, 2), ...kept.map(({ start, end }) => bytes.subarray(start, end))]);
  }

  /** Orientation in the EXIF data of a JPEG: 1 for upright or unknown, up to 8. */
  function orientation(bytes) {
    const segment = isJpeg(bytes) && segments(bytes).find(({ marker }) => marker === EXIF);
    if (!segment || segment.end - segment.start < 18) return 1;
    const tiff = bytes.slice(segment.start + 10, segment.end); // behind marker, length and "Exif\0\0"
    const view = new DataView(tiff.buffer);
    const little = view.getUint16(0) === 0x4949;
    const first = view.getUint32(4, little);
    if (first + 2 > tiff.length) return 1;
    for (let i = 0, at = first + 2; i < view.getUint16(first, little) && at + 12 <= tiff.length; i++, at += 12) {
      if (view.getUint16(at, little) === ORIENTATION) return view.getUint16(at + 8, little);
    }
    return 1;
  }

  /** The picture as a person sees it: turned and mirrored from how its camera stored it. */
  function turned({ data, width, height }, how) {
    if (!(how >= 2 && how <= 8)) return { data, width, height };
    const across = how >= 5; // rows become columns
    const columns = across ? height : width;
    const rows = across ? width : height;
    const mirroredX = [2, 3, 7, 8].includes(how); // of what was stored
    const mirroredY = [3, 4, 6, 7].includes(how);
    const from = new Uint32Array(data.slice().buffer);
    const made = new Uint32Array(from.length);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const [storedX, storedY] = across ? [y, x] : [x, y];
        const column = mirroredX ? width - 1 - storedX : storedX;
        made[columns * y + x] = from[width * (mirroredY ? height - 1 - storedY : storedY) + column];
      }
    }
    return { data: new Uint8ClampedArray(made.buffer), width: columns, height: rows };
  }

  /** ImageData of what the browser decodes; read through a canvas that stays in memory, not on the GPU. */
  async function decodeByBrowser(blob) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    } catch {
      throw new ours.ImageError("it is no picture that this browser can open", "Take a PNG, JPEG, WebP, GIF or BMP.");
    }
    const { width, height } = bitmap;
    ours.checkSize(width, height);
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    try {
      return context.getImageData(0, 0, width, height);
    } catch (error) {
      throw new ours.ImageError(`its ${width}x${height} pixels cannot be read: ${error.message}`, "Make it smaller.");
    }
  }

  function isOpaque(data) {
    for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
    return true;
  }

  /**
   * Opens the picture in a Blob or File: `{ data, width, height, remarks }`, the first three as ImageData has them.
   *
   * upright: whether a JPEG is turned as its EXIF data say, which `manifest.upright` of a model tells.
   * remarks: what may make the answer differ from what a person expects, in sentences. Throws ImageError.
   */
  async function decode(blob, { upright = false } = {}) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    if (bytes.length === 0) throw new ours.ImageError("the file is empty", "Take another picture.");
    if (ours.isPng(bytes)) return { ...(await ours.decodePng(bytes)), remarks: [] };
    const stored = await decodeByBrowser(isJpeg(bytes) ? stripped(bytes) : blob);
    const { data, width, height } = turned(stored, upright ? orientation(bytes) : 1);
    const remarks = [];
    if (orientation(bytes) > 1 && !upright) {
      remarks.push("The camera stored this picture turned, and it is classified as stored, as in Python.");
    }
    if (!isOpaque(data)) {
      remarks.push("Transparent parts of this picture lose their colours in a browser. As a PNG it would keep them.");
    }
    return { data, width, height, remarks };
  }

  Object.assign(ours, { decode, orientation, turned });
})();
