/**
 * What this library throws on purpose: the message says what failed and why, `hint` what to do.
 *
 * The files of this folder are plain scripts that share one global object, `convnextEdge`: a page opened from disk
 * may load no modules.
 */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  class ConvNeXtEdgeError extends Error {
    constructor(message, hint = "") {
      super(message);
      this.name = new.target.name;
      this.hint = hint;
    }
  }

  /** A file of the folder is missing, damaged, or not what its sidecar says. */
  class ArtifactError extends ConvNeXtEdgeError {}

  /** A picture that cannot be opened or classified. */
  class ImageError extends ConvNeXtEdgeError {}

  /** The runtime refuses the engine, or fails while it runs. */
  class TargetError extends ConvNeXtEdgeError {}

  /** A call that contradicts what is documented. */
  class UsageError extends ConvNeXtEdgeError {}

  Object.assign(ours, { ConvNeXtEdgeError, ArtifactError, ImageError, TargetError, UsageError });
})();
