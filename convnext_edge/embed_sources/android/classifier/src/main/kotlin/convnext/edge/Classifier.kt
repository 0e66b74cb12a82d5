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
 * runtime: what runs it, "onnxruntime". runtimeVersion: of the library that is loaded.
 */
data class Info(
    val engine: String,
    val runtime: String,
    val runtimeVersion: String,
    val resolution: Int,
    val takesBytes: Boolean,
    val classes: Int,
)

/**
 * A loaded model. All members may be called from several threads at once, but for `close`.
 *
 *     Classifier({ assets.open("model/$it") }).use { classifier ->
 *         for (found in classifier.classify(Image(pixels, width, height), 5)) println(found)
 *     }
 *
 * Images are resized, cropped and normalized exactly as `convnext-edge validate` does it, so the accuracy that was
 * validated is the accuracy that an application gets.
 *
 * files: the model's folder. threads: that one call may use; 0 leaves it to the runtime. Loading checks the SHA-256 of
 * each file. Throws ArtifactException, TargetException, UsageException.
 */
class Classifier(files: Files, threads: Int = 0) : AutoCloseable {
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
        shape = longArrayOf(1, 3, manifest.resolution.toLong(), manifest.resolution.toLong())
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
        )
    }

    /** The `topK` likeliest classes, best first. Throws ImageException, TargetException, UsageException. */
    fun classify(image: Image, topK: Int = 1): List<Prediction> = rank(infer(prepare(image)), labels, topK)

    /** The square of an image that the model sees: (resolution, resolution) pixels as 0xRRGGBB. */
    fun prepare(image: Image): IntArray = preprocessor.square(image)

    /** The (classes) logits for a square. Throws TargetException. */
    fun infer(square: IntArray): FloatArray = attempt("ONNX Runtime fails at ${manifest.engine}") {
        tensor(square).use { input ->
            session.run(mapOf(session.inputNames.single() to input)).use { result ->
                val output = (result[0] as OnnxTensor).floatBuffer
                FloatArray(output.remaining()).also { output.get(it) }
            }
        }
    }

    override fun close() = session.close()

    private fun tensor(square: IntArray): OnnxTensor = if (manifest.takesBytes) {
        OnnxTensor.createTensor(environment, ByteBuffer.wrap(preprocessor.bytes(square)), shape, OnnxJavaType.UINT8)
    } else {
        OnnxTensor.createTensor(environment, FloatBuffer.wrap(preprocessor.floats(square)), shape)
    }

    private fun <T> attempt(what: String, call: () -> T): T = try {
        call()
    } catch (error: OrtException) {
        throw TargetException("$what: ${error.message}", "Take a newer ONNX Runtime, or build the engine again.", error)
    }
}
