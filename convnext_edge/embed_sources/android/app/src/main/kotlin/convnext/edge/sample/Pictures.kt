package convnext.edge.sample

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.media.ExifInterface
import convnext.edge.Image
import convnext.edge.ImageException
import convnext.edge.turned
import java.io.IOException
import java.io.InputStream

private const val MOST_PIXELS = 50_000_000L // of 4 bytes each, and the image needs as many again

/**
 * The picture behind `open`, which may be called several times: as it was decoded, neither scaled to the screen
 * nor blended with what shines through. upright: whether it is turned as its EXIF orientation says.
 */
internal fun readPicture(upright: Boolean, open: () -> InputStream): Image = try {
    checkSize(open)
    val options = BitmapFactory.Options().apply {
        inScaled = false
        inPremultiplied = false
        inPreferredConfig = Bitmap.Config.ARGB_8888
    }
    val bitmap = open().use { BitmapFactory.decodeStream(it, null, options) } ?: throw none()
    val pixels = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    val image = Image(pixels, bitmap.width, bitmap.height)
    bitmap.recycle()
    if (upright) image.turned(orientation(open)) else image
} catch (error: IOException) {
    throw ImageException("the picture cannot be read: ${error.message}", "Choose another one.")
} catch (error: SecurityException) {
    throw ImageException("the picture may not be read: ${error.message}", "Choose it again.")
}

/** What the screen shows of an image: the pixels that the model gets. */
internal fun bitmapOf(image: Image): Bitmap =
    Bitmap.createBitmap(image.pixels, image.width, image.height, Bitmap.Config.ARGB_8888)

private fun checkSize(open: () -> InputStream) {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    open().use { BitmapFactory.decodeStream(it, null, bounds) }
    if (bounds.outWidth <= 0) throw none()
    if (bounds.outWidth.toLong() * bounds.outHeight > MOST_PIXELS) {
        val size = "${bounds.outWidth}x${bounds.outHeight}"
        throw ImageException("the picture has $size pixels, more than this sample decodes", "Choose a smaller one.")
    }
}

private fun none() = ImageException("this is no picture that Android can decode", "Choose another one.")

private fun orientation(open: () -> InputStream): Int =
    open().use { ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL) }
