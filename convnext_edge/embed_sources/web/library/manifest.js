/** What `convnext-edge embed` says of the engine: model/convnext_edge.txt, lines of a key and a value. */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const NAME = "convnext_edge.txt";
  const LABELS = "labels.txt";
  const FILE = "file"; // the one key that may come again
  // 2: what older libraries would take for a classifier of squares; 3: images that they would prepare otherwise; 4: images
  // in a corner
  const FORMATS = ["1", "2", "3", "4"];
  const BOOLEANS = ["false", "true"];
  const MAX_BYTES = 2 ** 20; // of the manifest; usual are up to 2 KiB
  const MAX_NAME = 199; // bytes of a file name
  const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i; // Number reads "0x40" and " 64" as well
  const RUNTIME = "onnxruntime";
  /** Each task, and the name of its first output; the other outputs are maps, but for those of a detector. */
  const FIRST = {
    classify: "logits",
    multilabel: "logits",
    regress: "values",
    embed: "embedding",
    features: null,
    segment: "logits",
    detect: "boxes",
  };
  const OF_DETECTORS = "boxes labels scores masks";
  const MOST_DETECTIONS = 2 ** 16;
  const UNLABELLED = ["embed", "features"];
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

    text(key, otherwise) {
      const found = this.pairs.find(([name]) => name === key);
      if (!found && otherwise === undefined) throw damaged(`it has no ${key}`);
      return found ? found[1] : otherwise;
    }

    has(key) {
      return this.text(key, null) !== null;
    }

    numbers(key, count) {
      const words = this.text(key).split(" ");
      const values = words.map(Number);
      if (values.length !== count || !words.every((word) => NUMBER.test(word)) || !values.every(Number.isFinite)) {
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

  function readTask(reader) {
    const task = reader.text("task", "classify");
    if (Object.hasOwn(FIRST, task)) return task;
    throw new ours.ArtifactError(`task '${task}' is not known`, `Known: ${Object.keys(FIRST).join(", ")}.`);
  }

  /** Names of the outputs: a vector where the task has one, and maps; or those of a detector. */
  function readOutputs(reader, task) {
    const said = reader.text("outputs", task === "classify" ? "logits" : undefined);
    const names = said.split(" ");
    const vector = FIRST[task];
    const maps = vector === null ? names : names.slice(1);
    const areMaps = (vector ?? names[0]) === names[0] && maps.every((name) => /^map\d{0,2}$/.test(name));
    const fits = task === "detect" ? said === OF_DETECTORS : areMaps;
    if (!fits || new Set(names).size !== names.length) throw damaged(`outputs is '${said}'`);
    return names;
  }

  /** The value of a key, which must be one of `words`; `otherwise` where it is not said. */
  function readWord(reader, key, words, otherwise) {
    const said = reader.text(key, otherwise);
    if (!words.includes(said)) throw damaged(`${key} is '${said}'`);
    return said;
  }

  /** The way before format 3: a crop of 1 squashes the whole image, where `squash` does not say otherwise. */
  function readEarlyWay(reader, crop) {
    const squashes = readWord(reader, "squash", BOOLEANS, String(crop === 1)) === "true";
    const mode = squashes ? "squash" : "center";
    return { crop: squashes ? 1 : crop, resizeMode: mode, resize: null, roundDown: false, ofTensors: false };
  }

  /** How an image comes to the size of the input. */
  function readWay(reader) {
    const crop = reader.numbers("crop", 1)[0];
    const padColor = reader.has("pad_color") ? reader.numbers("pad_color", 3) : [0, 0, 0];
    const way = reader.has("resize_mode")
      ? {
          crop, // part of the resized edge that is kept
          resizeMode: readWord(reader, "resize_mode", ["center", "squash", "pad", "corner"]),
          resize: reader.has("resize") ? reader.numbers("resize", 1)[0] : null, // edge before the crop, or by `crop`
          roundDown: readWord(reader, "crop_rounding", ["half_even", "floor"], "half_even") === "floor",
          ofTensors: readWord(reader, "resampler", ["pillow", "pytorch"], "pillow") === "pytorch",
        }
      : readEarlyWay(reader, crop);
    if (padColor.some((value) => !Number.isInteger(value) || value < 0 || value > 255)) {
      throw damaged("pad_color is out of range");
    }
    return { ...way, padColor, upright: readWord(reader, "exif", BOOLEANS, "false") === "true" };
  }

  function checkRanges({ task, resolution, width, crop, resize, classes, mean, std }) {
    const whole = [resolution, width, classes].every(Number.isInteger);
    const edges = Math.min(resolution, width) >= 1 && Math.max(resolution, width) <= 2 ** 14;
    const sizes = edges && classes >= 1 === !UNLABELLED.includes(task) && classes >= 0 && classes <= 2 ** 24;
    const edge = resize ?? Math.max(resolution, width);
    const resizes = Number.isInteger(edge) && edge >= Math.max(resolution, width) && edge <= 2 ** 14;
    if (!whole || !sizes || !resizes || crop > 1 || crop * 2 ** 30 < Math.max(resolution, width)) {
      throw damaged("resolution, crop, resize or classes are out of range");
    }
    if (mean.some((value) => value < 0 || value > 1) || std.some((value) => value <= 0 || value > 1)) {
      throw damaged("mean or std are out of range");
    }
  }

  /** Of a detector, the first class that objects may have, and the most objects that are found in an image. */
  function readDetection(reader, { task, classes }) {
    if (task !== "detect") return {};
    const firstLabel = reader.numbers("first_label", 1)[0];
    const detections = reader.numbers("detections", 1)[0];
    const first = [0, 1].includes(firstLabel) && firstLabel < classes;
    if (!first || !Number.isInteger(detections) || detections < 1 || detections > MOST_DETECTIONS) {
      throw damaged("first_label or detections are out of range");
    }
    return { firstLabel, detections };
  }

  /** The manifest in `bytes`. Throws ArtifactError where it is damaged, TargetError for another runtime's engine. */
  function readManifest(bytes) {
    const reader = new Reader(bytes);
    const format = reader.text("format");
    if (!FORMATS.includes(format)) {
      throw new ours.ArtifactError(
        `${NAME} has format ${format}, this version reads 1 to 4`,
        "Embed again with the version of these files.",
      );
    }
    const task = readTask(reader);
    const resolution = reader.numbers("resolution", 1)[0];
    const manifest = {
      task,
      outputs: readOutputs(reader, task),
      resolution, // rows of the input
      width: reader.has("width") ? reader.numbers("width", 1)[0] : resolution, // columns of the input
      ...readWay(reader),
      engine: reader.text("engine"),
      runtime: reader.text("runtime"),
      runtimeVersion: reader.text("runtime_version"),
      takesBytes: readWord(reader, "input", ["float32", "uint8"]) === "uint8",
      interpolation: reader.text("interpolation"),
      mean: reader.numbers("mean", 3),
      std: reader.numbers("std", 3),
      classes: reader.numbers("classes", 1)[0],
      files: reader.files(),
    };
    checkRanges(manifest);
    Object.assign(manifest, readDetection(reader, manifest));
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
    const labels = bytes.length === 0 ? [] : toLines(bytes);
    if (labels.length !== classes) {
      throw new ours.ArtifactError(`${LABELS} has ${labels.length} labels for ${classes} classes`, AGAIN);
    }
    return labels;
  }

  Object.assign(ours, { MANIFEST: NAME, LABELS, readManifest, readLabels, checkDigest });
})();
