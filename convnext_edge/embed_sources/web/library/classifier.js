/**
 * Classifies pictures with the engine of this folder, in the browser.
 *
 *     const classifier = await convnextEdge.load();
 *     const picture = await convnextEdge.decode(file);
 *     for (const { label, probability } of await classifier.classify(picture, 5)) console.log(probability, label);
 *
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

  class Classifier {
    #session;
    #table;
    #turn = Promise.resolve();

    constructor(session, manifest, labels, threads) {
      this.#session = session;
      this.#table = manifest.takesBytes ? null : ours.normalization(manifest);
      /** What the manifest says: `engine`, `resolution`, `classes`, ... */
      this.manifest = manifest;
      this.labels = labels;
      /** Of one call. */
      this.threads = threads;
      this.runtimeVersion = globalThis.ort.env.versions.web;
    }

    /** The square of `image` that the model sees: (resolution, resolution, 3) bytes. Throws ImageError. */
    prepare(image) {
      return ours.prepareSquare(image, this.manifest);
    }

    /** The (classes) logits for what `prepare` returned. Calls take turns. Throws TargetError. */
    infer(square) {
      const answer = this.#turn.then(() => this.#run(square));
      this.#turn = answer.catch(() => undefined);
      return answer;
    }

    async #run(square) {
      const { resolution, takesBytes, engine } = this.manifest;
      const [input, output] = [this.#session.inputNames[0], this.#session.outputNames[0]];
      const type = takesBytes ? "uint8" : "float32";
      const shape = [1, 3, resolution, resolution];
      const tensor = new globalThis.ort.Tensor(type, ours.toPlanes(square, this.#table), shape);
      try {
        const answer = await this.#session.run({ [input]: tensor });
        return answer[output].data;
      } catch (error) {
        throw new ours.TargetError(`ONNX Runtime fails at ${engine}: ${error.message ?? error}`);
      }
    }

    /** The `topK` likeliest classes, the lower index first among equals: `{ index, label, logit, probability }`. */
    rank(logits, topK = 1) {
      if (!Number.isInteger(topK) || topK < 1) {
        throw new ours.UsageError(`topK ${topK} is no whole number from 1`, "Give one.");
      }
      if (logits.length !== this.labels.length || !logits.every(Number.isFinite)) {
        const what = `the ${logits.length} logits are not ${this.labels.length} finite numbers`;
        throw new ours.TargetError(what, "Validate the engine: convnext-edge validate.");
      }
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

    /** image: `{ data, width, height }` of RGBA bytes, as ImageData or `decode` has them. */
    async classify(image, topK = 1) {
      return this.rank(await this.infer(this.prepare(image)), topK);
    }
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
    return new Classifier(await openSession(ort, files[manifest.engine], manifest.engine), manifest, labels, count);
  }

  Object.assign(ours, { Classifier, load });
})();
