package convnext.edge

/** What this library throws on purpose; `message` says what failed and why and, on a second line, what to do. */
open class ConvNeXtEdgeException(what: String, hint: String, cause: Throwable? = null) :
    Exception(if (hint.isEmpty()) what else "$what\n$hint", cause)

/** A file of the model is missing, damaged, or not what its sidecar says. */
class ArtifactException(what: String, hint: String = "", cause: Throwable? = null) :
    ConvNeXtEdgeException(what, hint, cause)

/** An image that cannot be classified: no pixels, too large, too elongated. */
class ImageException(what: String, hint: String = "") : ConvNeXtEdgeException(what, hint)

/** The runtime refuses the engine, or fails while it runs. */
class TargetException(what: String, hint: String = "", cause: Throwable? = null) :
    ConvNeXtEdgeException(what, hint, cause)

/** A call that contradicts what is documented. */
class UsageException(what: String, hint: String = "") : ConvNeXtEdgeException(what, hint)
