package convnext.edge

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.FloatBuffer

// More than any device has cores; the runtime starts as many as it is told.
private const val MAX_THREADS = 1024

/**
 * What a model is, as its folder says it.
 *
 * runtime: what runs it, "onnxruntime". runtimeVersion: of the library that is loaded. task: "classify", "multilabel",
 * "regress", "embed", "features", "segment" or "detect". resolution, width: rows and columns of what the model sees, in pixels.
 * classes: numbers that have a label, none of `embed` and `features`. upright: whether photographs are to be turned as their
 * EXIF orientation says before they are given.
 */
data class Info(
    val engine: String,
    val runtime: String,
    val runtimeVersion: String,
    val resolution: Int,
    val takesBytes: Boolean,
    val classes: Int,
    val width: Int,
    val task: String,
    val upright: Boolean,
)

/**
 * A loaded model. All members may be called from several threads at once, but for `close`.
 *
 *     Model({ assets.open("model/$it") }).use { model ->
 *         for (found in model.classify(Image(pixels, width, height), 5)) println(found)
 *     }
 *
 * `run` is for every task, the other calls are for the one of their name and throw UsageException at other models. All
 * throw ImageException and TargetException. Images are resized, cropped and normalized exactly as `convnext-edge
 * validate` does it, so the accuracy that was validated is the accuracy that an application gets.
 *
 * files: the model's folder. threads: that one call may use; 0 leaves it to the runtime. Loading checks the SHA-256 of
 * each file. Throws ArtifactException, TargetException, UsageException.
 */
class Model(files: Files, threads: Int = 0) : AutoCloseable {
    private val manifest: Manifest
    private val environment: OrtEnvironment
    private val session: OrtSession
    private val preprocessor: Preprocessor
    private val shape: LongArray

    val labels: List<String>
    val info: Info

    init {
        if (threads !in 0..MAX_THREADS) {
            val hint = "Give a whole number from 1 to $MAX_THREADS, or 0 for all cores."
            throw UsageException("threads $threads is out of range", hint)
        }
        val (described, contents) = Manifest.load(files)
        manifest = described
        labels = Manifest.labels(contents.getValue(Manifest.LABELS), manifest.classes)
        preprocessor = Preprocessor(manifest)
        shape = longArrayOf(1, 3, manifest.resolution.toLong(), manifest.width.toLong())
        environment = attempt("ONNX Runtime cannot start") {
            OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR).apply { setTelemetry(false) }
        }
        session = attempt("ONNX Runtime refuses ${manifest.engine}") {
            OrtSession.SessionOptions().use { options ->
                if (threads > 0) options.setIntraOpNumThreads(threads)
                environment.createSession(contents.getValue(manifest.engine), options)
            }
        }
        info = Info(
            manifest.engine,
            manifest.runtime,
            environment.version,
            manifest.resolution,
            manifest.takesBytes,
            manifest.classes,
            manifest.width,
            manifest.task,
            manifest.upright,
        )
        if (session.numOutputs != manifest.outputs.size.toLong()) {
            val what = "${manifest.engine} has ${session.numOutputs} outputs, not ${manifest.outputs.size}"
            throw TargetException(what, "Build and embed it again.")
        }
    }

    /** All outputs, as the engine computes them. */
    fun run(image: Image): List<Output> = compute(prepare(image))

    /** The `topK` likeliest classes, best first. */
    fun classify(image: Image, topK: Int = 1): List<Prediction> {
        checkTask("classify")
        return rank(infer(prepare(image)), labels, topK)
    }

    /** All labels in their order, each with a probability of its own: the answer is yes from 0.5. */
    fun multilabel(image: Image): List<Prediction> {
        checkTask("multilabel")
        return judge(infer(prepare(image)), labels)
    }

    /** The values, in the order of the labels. */
    fun regress(image: Image): FloatArray = checked("regress", image).first().values

    /** The embedding; `cosine` compares two. Where the model has a map too, `run` has both. */
    fun embed(image: Image): FloatArray = checked("embed", image).first().values

    /** The map of each stage, the finest first. */
    fun features(image: Image): List<Output> = checked("features", image)

    /** The class of each pixel of what the model sees. */
    fun segment(image: Image): LabelMap = labelMap(infer(prepare(image)))

    /** The same for what `infer` returned: the class with the largest logit, the lower index among equals. */
    fun labelMap(logits: FloatArray): LabelMap {
        checkTask("segment")
        return labelMap(logits, manifest.width, manifest.resolution)
    }

    /** The objects whose score is higher than the threshold, the surest first. */
    fun detect(image: Image, threshold: Float = 0.5f): List<DetectedObject> = objects(run(image), threshold, image)

    /** The same for what `compute` returned; without the image, boxes are in pixels of what the model sees. */
    fun objects(outputs: List<Output>, threshold: Float = 0.5f, image: Image? = null): List<DetectedObject> {
        checkTask("detect")
        if (threshold.isNaN()) throw UsageException("the threshold is no number", "Give one from 0 to 1.")
        val (width, height) = Pair(image?.width ?: manifest.width, image?.height ?: manifest.resolution)
        val fit = image?.let(preprocessor::fit) ?: Fit(width.toLong(), height.toLong(), 0, 0)
        val (inputWidth, inputHeight) = Pair(manifest.width, manifest.resolution)
        return objectsOf(outputs, labels, manifest.firstLabel, threshold, width, height, fit, inputWidth, inputHeight)
    }

    /** What the model sees of an image: (resolution, width) pixels as 0xRRGGBB. */
    fun prepare(image: Image): IntArray = preprocessor.prepare(image)

    /** The values of the first output, such as the (classes) logits, for what `prepare` returned. */
    fun infer(pixels: IntArray): FloatArray = compute(pixels).first().values

    /** All outputs for what `prepare` returned. */
    fun compute(pixels: IntArray): List<Output> = attempt("ONNX Runtime fails at ${manifest.engine}") {
        tensor(pixels).use { input ->
            session.run(mapOf(session.inputNames.single() to input)).use { result ->
                manifest.outputs.mapIndexed { index, name -> output(name, result[index] as OnnxTensor) }
            }
        }
    }

    private fun output(name: String, made: OnnxTensor): Output {
        val values = if (made.info.type == OnnxJavaType.INT64) {
            made.longBuffer.let { buffer -> FloatArray(buffer.remaining()) { buffer.get().toFloat() } }
        } else {
            made.floatBuffer.let { buffer -> FloatArray(buffer.remaining()).also { buffer.get(it) } }
        }
        return Output(name, made.info.shape.drop(1).map(Long::toInt), values)
    }

    private fun checked(task: String, image: Image): List<Output> {
        checkTask(task)
        return run(image).onEach { checkFinite(it.name, it.values) }
    }

    private fun checkTask(call: String) {
        val (engine, task) = Pair(manifest.engine, manifest.task)
        if (task == call) return
        throw UsageException("the task of $engine is $task, not $call", "Call $task(), or run() for all outputs.")
    }

    override fun close() = session.close()

    private fun tensor(pixels: IntArray): OnnxTensor = if (manifest.takesBytes) {
        OnnxTensor.createTensor(environment, ByteBuffer.wrap(preprocessor.bytes(pixels)), shape, OnnxJavaType.UINT8)
    } else {
        OnnxTensor.createTensor(environment, FloatBuffer.wrap(preprocessor.floats(pixels)), shape)
    }

    private fun <T> attempt(what: String, call: () -> T): T = try {
        call()
    } catch (error: OrtException) {
        throw TargetException("$what: ${error.message}", "Take a newer ONNX Runtime, or build the engine again.", error)
    }
}

/** Another name of Model, for programs that classify. */
typealias Classifier = Model
