package convnext.edge

private val MIRRORED_COLUMNS = setOf(2, 3, 7, 8)
private val MIRRORED_ROWS = setOf(3, 4, 6, 7)

/**
 * The image as the EXIF `orientation` of its file says that it is to be seen. 1 is as stored, and so are values
 * out of 1..8, such as 0 for an unknown one. A model wants it where `info.upright` is true.
 */
fun Image.turned(orientation: Int): Image {
    if (orientation !in 2..8) return this
    val lies = orientation >= 5
    val mirrorsColumns = orientation in MIRRORED_COLUMNS
    val mirrorsRows = orientation in MIRRORED_ROWS
    val turned = Image(IntArray(pixels.size), if (lies) height else width, if (lies) width else height)
    for (y in 0 until turned.height) {
        for (x in 0 until turned.width) {
            val column = if (lies) y else x
            val row = if (lies) x else y
            val from = if (mirrorsColumns) width - 1 - column else column
            val line = if (mirrorsRows) height - 1 - row else row
            turned.pixels[y * turned.width + x] = pixels[line * width + from]
        }
    }
    return turned
}
