package convnext.edge.sample

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.provider.MediaStore
import android.util.Log
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import convnext.edge.ConvNeXtEdgeException
import convnext.edge.Files
import convnext.edge.Image
import convnext.edge.Model
import convnext.edge.bench
import java.io.IOException
import java.util.concurrent.Executors

/**
 * Shows the model the picture that comes with the application and compares the answer with Python's, or one of the
 * gallery or the camera. It measures latency: at the touch of a button, or started with
 *
 *     adb shell am start -n convnext.edge.sample/.MainActivity --ez bench true --ei runs 50 --ei threads 0
 *
 * which also logs the JSON under the tag `convnext-edge`.
 */
class MainActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val files = Files { assets.open("model/$it") }
    private lateinit var answer: TextView
    private lateinit var measured: TextView
    private lateinit var picture: ImageView
    private lateinit var buttons: List<Button>
    private lateinit var image: Image

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        image = readPicture(upright = false) { assets.open(PICTURE) }
        showPage()
        answer.setText(R.string.loading)
        work(answer) { describe(image, expected()) }
        if (intent.getBooleanExtra("bench", false)) measure()
    }

    override fun onDestroy() {
        worker.shutdown()
        super.onDestroy()
    }

    private fun choose() {
        ask(Intent(Intent.ACTION_GET_CONTENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"), GALLERY)
    }

    private fun photograph() {
        val place = PhotoProvider.uri(this)
        val request = Intent(MediaStore.ACTION_IMAGE_CAPTURE).putExtra(MediaStore.EXTRA_OUTPUT, place)
        request.clipData = ClipData.newRawUri(null, place) // which the right to write goes with
        request.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION or Intent.FLAG_GRANT_WRITE_URI_PERMISSION)
        ask(request, CAMERA)
    }

    private fun ask(request: Intent, code: Int) {
        try {
            startActivityForResult(request, code)
        } catch (_: ActivityNotFoundException) {
            answer.setText(R.string.no_application)
        }
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        if (resultCode != RESULT_OK) return
        val place = if (requestCode == CAMERA) PhotoProvider.uri(this) else data?.data
        if (place != null) show(place)
    }

    private fun show(place: Uri) {
        answer.setText(R.string.loading)
        work(answer) {
            val upright = Model(files).use { it.info.upright }
            val found = readPicture(upright) {
                contentResolver.openInputStream(place) ?: throw IOException("nothing is at $place")
            }
            runOnUiThread {
                image = found
                picture.setImageBitmap(bitmapOf(found))
            }
            describe(found, null)
        }
    }

    /** What the model answers to an image; of a segmenter or detector, the picture is drawn, too. expected: what Python answered, where that is known. */
    private fun describe(image: Image, expected: FloatArray?): String = Model(files).use { model ->
        val found = answerOf(model, image)
        val info = model.info
        val runtime = "${info.engine}, ONNX Runtime ${info.runtimeVersion}"
        val comparison = expected?.let { compare(found.numbers, it, info.task) }
        found.overlay?.let { drawn -> runOnUiThread { picture.setImageBitmap(bitmapOf(drawn)) } }
        listOfNotNull(found.text, runtime, comparison).joinToString("\n\n")
    }

    /** What Python answered for the bundled picture; null where another picture took its place without that. */
    private fun expected(): FloatArray? = try {
        assets.open(EXPECTED).bufferedReader().use { it.readLines() }.map(String::toFloat).toFloatArray()
    } catch (_: IOException) {
        null
    }

    private fun measure() {
        measured.setText(R.string.measuring)
        val image = image
        work(measured) {
            bench(files, image, intent.getIntExtra("threads", 0), intent.getIntExtra("runs", 50)).also { json ->
                Log.i(TAG, json)
            }
        }
    }

    /** Shows what `call` returns, which runs beside the thread that draws; what goes wrong is shown too. */
    private fun work(place: TextView, call: () -> String) {
        for (button in buttons) button.isEnabled = false
        worker.execute {
            val text = try {
                call()
            } catch (error: ConvNeXtEdgeException) {
                Log.e(TAG, "failed", error)
                "Error: ${error.message}"
            }
            runOnUiThread {
                place.text = text
                for (button in buttons) button.isEnabled = true
            }
        }
    }

    private fun showPage() {
        picture = ImageView(this).apply {
            setImageBitmap(bitmapOf(image))
            contentDescription = getString(R.string.picture)
            adjustViewBounds = true
        }
        answer = TextView(this).apply { accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE }
        measured = TextView(this).apply { setTextIsSelectable(true) }
        buttons = listOf(
            button(R.string.gallery) { choose() },
            button(R.string.camera) { photograph() },
            button(R.string.measure) { measure() },
        )
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            fitsSystemWindows = true
            val padding = (16 * resources.displayMetrics.density).toInt()
            setPadding(padding, padding, padding, padding)
        }
        for (view in listOf(picture, answer) + buttons + measured) column.addView(view)
        setContentView(ScrollView(this).apply { addView(column) })
    }

    private fun button(title: Int, pressed: () -> Unit) = Button(this).apply {
        setText(title)
        setOnClickListener { pressed() }
    }

    private companion object {
        const val TAG = "convnext-edge"
        const val PICTURE = "picture.png"
        const val EXPECTED = "picture.txt"
        const val GALLERY = 1 // request codes
        const val CAMERA = 2
    }
}
