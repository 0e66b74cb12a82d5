/** What `convnext-edge embed` says of the engine: model/convnext_edge.txt, lines of a key and a value. */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const NAME = "convnext_edge.txt";
  const LABELS = "labels.txt";
  const FILE = "file"; // the one key that may come again
  const FORMAT = "1";
  const MAX_BYTES = 2 ** 20; // of the manifest; usual are up to 2 KiB
  const MAX_NAME = 199; // bytes of a file name
  const RUNTIME = "onnxruntime";
  const AGAIN = "Make the folder again: convnext-edge embed.";

  const damaged = (why) => new ours.ArtifactError(`${NAME} is damaged: ${why}`, AGAIN);

  const toText = (bytes) => new TextDecoder().decode(bytes);

  const toLines = (bytes) => toText(bytes).replace(/\n$/, "").split("\n");

  /** Whether `name` is that of a file in the folder itself, with the rules of Python's artifacts/names.py. */
  const isPlain = (name) =>
    /^(?!\.{1,2}$)(?![A-Za-z]:)[^/\\\u0000-\u001f\u007f-\u009f]+$/.test(name) &&
    new TextEncoder().encode(name).length <= MAX_NAME;

  class Reader {
    constructor(bytes) {
      if (bytes.length > MAX_BYTES) throw damaged(`it has more than ${MAX_BYTES} bytes`);
      this.pairs = toLines(bytes).map((line) => {
        const space = line.indexOf(" ");
        return space < 0 ? [line, ""] : [line.slice(0, space), line.slice(space + 1)];
      });
      const keys = new Set();
      for (const [key] of this.pairs.filter(([name]) => name !== FILE)) {
        if (keys.has(key)) throw damaged(`it has ${key} twice`);
        keys.add(key);
      }
    }

    text(key) {
      const found = this.pairs.find(([name]) => name === key);
      if (!found) throw damaged(`it has no ${key}`);
      return found[1];
    }

    numbers(key, count) {
      const words = this.text(key).split(" ");
      const values = words.map(Number);
      if (values.length !== count || words.includes("") || !values.every(Number.isFinite)) {
        throw damaged(`${key} is '${this.text(key)}'`);
      }
      return values;
    }

    /** Digest by name of each file. */
    files() {
      const lines = this.pairs.filter(([key]) => key === FILE).map(([, value]) => value);
      return new Map(
        lines.map((line) => {
          const [digest, name] = [line.slice(0, 64), line.slice(65)];
          if (!/^[0-9a-f]{64}$/.test(digest) || !isPlain(name)) throw damaged(`file is '${line}'`);
          return [name, digest];
        }),
      );
    }
  }

  function checkRanges({ resolution, crop, classes, mean, std }) {
    const whole = Number.isInteger(resolution) && Number.isInteger(classes);
    const sizes = resolution >= 1 && resolution <= 2 ** 14 && classes >= 1 && classes <= 2 ** 24;
    if (!whole || !sizes || crop > 1 || crop * 2 ** 30 < resolution) {
      throw damaged("resolution, crop or classes are out of range");
    }
    if (mean.some((value) => value < 0 || value > 1) || std.some((value) => value <= 0 || value > 1)) {
      throw damaged("mean or std are out of range");
    }
  }

  /** The manifest in `bytes`. Throws ArtifactError where it is damaged, TargetError for another runtime's engine. */
  function readManifest(bytes) {
    const reader = new Reader(bytes);
    const format = reader.text("format");
    if (format !== FORMAT) {
      throw new ours.ArtifactError(
        `${NAME} has format ${format}, this version reads ${FORMAT}`,
        "Embed again with the version of these files.",
      );
    }
    const manifest = {
      engine: reader.text("engine"),
      runtime: reader.text("runtime"),
      runtimeVersion: reader.text("runtime_version"),
      takesBytes: reader.text("input") === "uint8",
      resolution: reader.numbers("resolution", 1)[0],
      crop: reader.numbers("crop", 1)[0],
      interpolation: reader.text("interpolation"),
      mean: reader.numbers("mean", 3),
      std: reader.numbers("std", 3),
      classes: reader.numbers("classes", 1)[0],
      files: reader.files(),
    };
    checkRanges(manifest);
    ours.findFilter(manifest.interpolation);
    for (const name of [manifest.engine, LABELS]) {
      if (!manifest.files.has(name)) throw damaged(`it has no digest of ${name}`);
    }
    if (manifest.runtime !== RUNTIME) {
      const what = `${manifest.engine} is an engine for ${manifest.runtime}, a browser runs those for ${RUNTIME}`;
      throw new ours.TargetError(what, `Build one: convnext-edge build --target ${RUNTIME}`);
    }
    return manifest;
  }

  /** Throws ArtifactError where `bytes` are not those that the manifest was written for. */
  function checkDigest(name, bytes, expected) {
    const found = ours.sha256(bytes);
    if (found !== expected) {
      throw new ours.ArtifactError(
        `${name} does not match its sidecar: sha256 ${found.slice(0, 12)}… instead of ${expected.slice(0, 12)}…`,
        "The file was changed after it was made; make it again.",
      );
    }
  }

  function readLabels(bytes, classes) {
    const labels = toLines(bytes);
    if (labels.length !== classes) {
      throw new ours.ArtifactError(`${LABELS} has ${labels.length} labels for ${classes} classes`, AGAIN);
    }
    return labels;
  }

  Object.assign(ours, { MANIFEST: NAME, LABELS, readManifest, readLabels, checkDigest });
})();
