/**
 * Answers pictures with the engine of this folder, in the browser.
 *
 *     const model = await convnextEdge.load();
 *     const picture = await convnextEdge.decode(file);
 *     for (const { label, probability } of await model.classify(picture, 5)) console.log(probability, label);
 *
 * The call has the name of the model's task: classify, multilabel, regress, embed, features, segment or detect.
 * Pictures are resized, cropped and normalized exactly as `convnext-edge validate` does it, so the accuracy that was
 * validated is the accuracy that a page gets.
 */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const MAX_THREADS = 1024; // more than any device has cores; the runtime starts as many as it is told
  const GLUE = "ort-wasm-simd-threaded.mjs";
  const PROGRAM = "ort-wasm-simd-threaded.wasm";

  /** Makes `ort`, the global object of runtime/ort.wasm.min.js, ready. Only the first call of a page counts. */
  async function startRuntime(read, threads) {
    const { ort } = globalThis;
    if (!ort) throw new ours.TargetError("runtime/ort.wasm.min.js is not loaded", "Load it before this library.");
    const [glue, program] = await Promise.all([read(`runtime/${GLUE}`), read(`runtime/${PROGRAM}`)]);
    ort.env.wasm.numThreads = threads;
    // Of a blob it has the right type on any server, and may be imported by a page opened from disk.
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
    ort.env.wasm.wasmBinary = program;
    return ort;
  }

  async function openSession(ort, engine, name) {
    try {
      return await ort.InferenceSession.create(engine, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    } catch (error) {
      const what = `ONNX Runtime ${ort.env.versions.web} refuses ${name}: ${error.message ?? error}`;
      throw new ours.TargetError(what, "Take a newer onnxruntime-web, or build the engine again.");
    }
  }

  /** How many threads a call may use; raises UsageError for what the page's headers do not allow. */
  function countThreads(wanted) {
    const most = globalThis.crossOriginIsolated ? (navigator.hardwareConcurrency ?? 1) : 1;
    const threads = wanted ?? most;
    if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
      const what = `threads ${threads} is no whole number from 1 to ${MAX_THREADS}`;
      throw new ours.UsageError(what, "Leave it out for as many as can be.");
    }
    if (threads > 1 && !globalThis.crossOriginIsolated) {
      throw new ours.UsageError(
        `${threads} threads need a page that is isolated from others`,
        "Serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.",
      );
    }
    return threads;
  }

  /**
   * A loaded model. `run` is for every task, the other calls are for the one of their name and throw UsageError at
   * other models. Images are `{ data, width, height }` of RGBA bytes, as ImageData or `decode` has them. All calls
   * throw ImageError and TargetError.
   */
  class Model {
    #session;
    #table;
    #turn = Promise.resolve();

    constructor(session, manifest, labels, threads) {
      this.#session = session;
      this.#table = manifest.takesBytes ? null : ours.normalization(manifest);
      /** What the manifest says: `engine`, `task`, `outputs`, `resolution`, `classes`, ... */
      this.manifest = manifest;
      this.labels = labels;
      /** Of one call. */
      this.threads = threads;
      this.runtimeVersion = globalThis.ort.env.versions.web;
    }

    /** What the model sees of `image`: (resolution, width, 3) bytes. Throws ImageError. */
    prepare(image) {
      return ours.prepareImage(image, this.manifest);
    }

    /** All outputs for what `prepare` returned, as `run` has them. Calls take turns. Throws TargetError. */
    compute(pixels) {
      const answer = this.#turn.then(() => this.#run(pixels));
      this.#turn = answer.catch(() => undefined);
      return answer;
    }

    /** The values of the first output, such as the (classes) logits, for what `prepare` returned. */
    async infer(pixels) {
      return (await this.compute(pixels))[0].values;
    }

    async #run(pixels) {
      const { resolution, width, takesBytes, engine, outputs } = this.manifest;
      const type = takesBytes ? "uint8" : "float32";
      const shape = [1, 3, resolution, width];
      const tensor = new globalThis.ort.Tensor(type, ours.toPlanes(pixels, this.#table), shape);
      const names = this.#session.outputNames;
      try {
        const answer = await this.#session.run({ [this.#session.inputNames[0]]: tensor });
        return outputs.map((name, i) => {
          const { data, dims } = answer[names[i]];
          const values = data instanceof BigInt64Array ? Float32Array.from(data, Number) : data;
          return { name, shape: dims.slice(1), values };
        });
      } catch (error) {
        throw new ours.TargetError(`ONNX Runtime fails at ${engine}: ${error.message ?? error}`);
      }
    }

    #checkTask(call) {
      const { engine, task } = this.manifest;
      if (task === call) return;
      throw new ours.UsageError(
        `the task of ${engine} is ${task}, not ${call}`,
        `Call ${task}(), or run() for all outputs.`,
      );
    }

    /** pixels: of which each has logits of its own. */
    #checkLogits(logits, pixels = 1) {
      const expected = this.labels.length * pixels;
      if (logits.length === expected && logits.every(Number.isFinite)) return;
      const what = `the ${logits.length} logits are not ${expected} finite numbers`;
      throw new ours.TargetError(what, "Validate the engine: convnext-edge validate.");
    }

    /** The `topK` likeliest classes, the lower index first among equals: `{ index, label, logit, probability }`. */
    rank(logits, topK = 1) {
      this.#checkTask("classify");
      if (!Number.isInteger(topK) || topK < 1) {
        throw new ours.UsageError(`topK ${topK} is no whole number from 1`, "Give one.");
      }
      this.#checkLogits(logits);
      const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
      const largest = logits[order[0]];
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
      return order.slice(0, topK).map((index) => ({
        index,
        label: this.labels[index],
        logit: logits[index],
        probability: Math.exp(logits[index] - largest) / sum,
      }));
    }

    /** All labels in their order, each with a probability of its own (sigmoid): as `rank` has them. */
    judge(logits) {
      this.#checkTask("multilabel");
      this.#checkLogits(logits);
      return Array.from(logits, (logit, index) => {
        return { index, label: this.labels[index], logit, probability: 1 / (1 + Math.exp(-logit)) };
      });
    }

    /** The class of each pixel, the lower index among equals: `{ width, height, classes }`, row by row. */
    labelMap(logits) {
      this.#checkTask("segment");
      const { resolution: height, width } = this.manifest;
      this.#checkLogits(logits, width * height);
      return { width, height, classes: ours.classesOf(logits, width * height) };
    }

    /**
     * The objects of a detector's outputs, as `compute` has them, with a higher score than the threshold, the surest
     * first: `{ index, label, score, box, picture, likely }`, for `convnextEdge.maskOf` and `overlayObjects`.
     *
     * picture: `{ width, height }` that was prepared; without it, boxes are in pixels of what the model sees.
     */
    objects(outputs, { threshold = 0.5, picture } = {}) {
      this.#checkTask("detect");
      if (!(threshold >= 0 && threshold <= 1)) {
        throw new ours.UsageError(`threshold ${threshold} is no number from 0 to 1`, "Give one.");
      }
      this.#checkOutputs(outputs);
      const { resolution: height, width, firstLabel, detections } = this.manifest;
      const values = outputs.map((output) => output.values);
      const isClass = (label) => label >= firstLabel && label in this.labels;
      if (values[1].length !== detections || !values[1].every((label) => label === -1 || isClass(label))) {
        const what = `the labels of ${this.manifest.engine} are not ${detections} of its ${this.labels.length} classes`;
        throw new ours.TargetError(what, "Validate it: convnext-edge validate.");
      }
      const isInside = (place, i) => place >= -1 && place <= (i % 2 ? height : width) + 1; // but for rounding
      const boxOf = (i) => values[0].subarray(4 * i, 4 * i + 4);
      if (!values[1].every((label, i) => label === -1 || boxOf(i).every(isInside))) {
        const what = `a box of ${this.manifest.engine} lies outside of its input`;
        throw new ours.TargetError(what, "Validate it: convnext-edge validate.");
      }
      const fit = picture ? ours.fitOf(picture, this.manifest) : ours.asItIs(this.manifest);
      const found = ours.objectsOf(values, threshold, picture ?? { width, height }, fit);
      return found.map((object) => ({ ...object, label: this.labels[object.index] }));
    }

    /** All outputs: `{ name, shape, values }`; shape: (numbers) of a vector, (channels, rows, columns) of a map. */
    async run(image) {
      return this.compute(this.prepare(image));
    }

    async #checked(task, image) {
      this.#checkTask(task);
      const outputs = await this.run(image);
      this.#checkOutputs(outputs);
      return outputs;
    }

    #checkOutputs(outputs) {
      for (const { name, values } of outputs) {
        if (values.every(Number.isFinite)) continue;
        const what = `the ${name} of ${this.manifest.engine} are not finite`;
        throw new ours.TargetError(what, "Validate it: convnext-edge validate.");
      }
    }

    async classify(image, topK = 1) {
      return this.rank(await this.infer(this.prepare(image)), topK);
    }

    /** The answer to a label is yes from 0.5, where the logit is 0. */
    async multilabel(image) {
      return this.judge(await this.infer(this.prepare(image)));
    }

    /** The values, in the order of the labels. */
    async regress(image) {
      return (await this.#checked("regress", image))[0].values;
    }

    /** The embedding; `convnextEdge.cosine` compares two. Where the model has a map too, `run` has both. */
    async embed(image) {
      return (await this.#checked("embed", image))[0].values;
    }

    /** The map of each stage, the finest first, as `run` has them. */
    async features(image) {
      return this.#checked("features", image);
    }

    /** The class of each pixel of what the model sees: `convnextEdge.overlay` draws them. */
    async segment(image) {
      return this.labelMap(await this.infer(this.prepare(image)));
    }

    /** The objects in the picture with a higher score than the threshold, as `objects` has them. */
    async detect(image, threshold = 0.5) {
      return this.objects(await this.run(image), { threshold, picture: image });
    }
  }

  /** Cosine of the angle between two embeddings of a model: 1 where they point in the same direction. */
  function cosine(a, b) {
    if (a.length !== b.length) {
      const what = `embeddings of ${a.length} and ${b.length} numbers are not of one model`;
      throw new ours.UsageError(what, "Compare those of the same model.");
    }
    const product = (one, other) => one.reduce((sum, value, i) => sum + value * other[i], 0);
    const lengths = Math.sqrt(product(a, a) * product(b, b));
    if (!(lengths > 0)) throw new ours.UsageError("an embedding of zeros has no direction", "Give what embed() returned.");
    return product(a, b) / lengths;
  }

  /**
   * Loads the engine after checking the SHA-256 of each file of model/.
   *
   * read: where files come from; by default the server of the page, or offline/ for a page opened from disk.
   * threads: of one call; by default as many as the page may use, which is 1 without isolation from other pages.
   * report: called with a sentence on what is being done. Throws ArtifactError, TargetError, UsageError.
   */
  async function load({ read, threads, report = () => undefined } = {}) {
    const count = countThreads(threads);
    const from = read ?? (location.protocol === "file:" ? ours.storedFiles() : ours.servedFiles());
    report("Loading the model …");
    const manifest = ours.readManifest(await from(`model/${ours.MANIFEST}`));
    const files = {};
    for (const [name, digest] of manifest.files) {
      files[name] = await from(`model/${name}`);
      ours.checkDigest(name, files[name], digest);
    }
    const labels = ours.readLabels(files[ours.LABELS], manifest.classes);
    report("Starting ONNX Runtime …");
    const ort = await startRuntime(from, count);
    const session = await openSession(ort, files[manifest.engine], manifest.engine);
    if (session.outputNames.length !== manifest.outputs.length) {
      const what = `${manifest.engine} has ${session.outputNames.length} outputs, not ${manifest.outputs.length}`;
      throw new ours.TargetError(what, "Build and embed it again.");
    }
    return new Model(session, manifest, labels, count);
  }

  Object.assign(ours, { Model, load, cosine });
})();
