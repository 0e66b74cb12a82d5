package convnext.edge.sample

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.os.Bundle
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
 * Shows the model the picture that comes with the application, compares the answer with Python's, and measures
 * latency: at the touch of a button, or started with
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
    private lateinit var button: Button

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        showPage()
        val image = readPicture()
        answer.setText(R.string.loading)
        work(answer) { describe(image) }
        if (intent.getBooleanExtra("bench", false)) measure(image)
        button.setOnClickListener { measure(image) }
    }

    override fun onDestroy() {
        worker.shutdown()
        super.onDestroy()
    }

    /** The bundled picture: as stored, neither scaled to the screen nor blended with what shines through. */
    private fun readPicture(): Image {
        val options = BitmapFactory.Options().apply {
            inScaled = false
            inPremultiplied = false
            inPreferredConfig = Bitmap.Config.ARGB_8888
        }
        val bitmap = assets.open(PICTURE).use { checkNotNull(BitmapFactory.decodeStream(it, null, options)) { PICTURE } }
        val pixels = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        return Image(pixels, bitmap.width, bitmap.height)
    }

    private fun describe(image: Image): String = Model(files).use { model ->
        val outputs = model.run(image)
        val compared = outputs.first().takeIf { it.shape.size == 1 } ?: outputs.last()
        val info = model.info
        val runtime = "${info.engine}, ONNX Runtime ${info.runtimeVersion}"
        val comparison = expected()?.let { compare(compared.values, it, info.task == "classify") }
        listOfNotNull(answerOf(model, image), runtime, comparison).joinToString("\n\n")
    }

    /** What Python answered for the bundled picture; null where another picture took its place without that. */
    private fun expected(): FloatArray? = try {
        assets.open(EXPECTED).bufferedReader().use { it.readLines() }.map(String::toFloat).toFloatArray()
    } catch (_: IOException) {
        null
    }

    private fun measure(image: Image) {
        measured.setText(R.string.measuring)
        work(measured) {
            bench(files, image, intent.getIntExtra("threads", 0), intent.getIntExtra("runs", 50)).also { json ->
                Log.i(TAG, json)
            }
        }
    }

    /** Shows what `call` returns, which runs beside the thread that draws; what goes wrong is shown too. */
    private fun work(place: TextView, call: () -> String) {
        button.isEnabled = false
        worker.execute {
            val text = try {
                call()
            } catch (error: ConvNeXtEdgeException) {
                Log.e(TAG, "failed", error)
                "Error: ${error.message}"
            }
            runOnUiThread {
                place.text = text
                button.isEnabled = true
            }
        }
    }

    private fun showPage() {
        val picture = ImageView(this).apply {
            setImageBitmap(assets.open(PICTURE).use { BitmapFactory.decodeStream(it) })
            contentDescription = getString(R.string.picture)
            adjustViewBounds = true
        }
        answer = TextView(this).apply { accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE }
        measured = TextView(this).apply { setTextIsSelectable(true) }
        button = Button(this).apply { setText(R.string.measure) }
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            fitsSystemWindows = true
            val padding = (16 * resources.displayMetrics.density).toInt()
            setPadding(padding, padding, padding, padding)
        }
        for (view in listOf(picture, answer, button, measured)) column.addView(view)
        setContentView(ScrollView(this).apply { addView(column) })
    }

    private companion object {
        const val TAG = "convnext-edge"
        const val PICTURE = "picture.png"
        const val EXPECTED = "picture.txt"
    }
}
