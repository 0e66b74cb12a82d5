package convnext.edge

import java.io.File
import java.io.IOException

/**
 * How many CPUs this process may use, at least 1: those of its affinity, but not more than the quota of its control
 * group, which limits containers. root: where /proc and /sys are, which not every system lets an application read.
 */
internal fun usableCpus(root: File = File("/")): Int {
    val groups = lines(File(root, "proc/self/cgroup")).map { it.split(':', limit = 3) } // as "4:cpu,cpuacct:/own"
    val quotas = groups.filter { it.size == 3 && (it[1].isEmpty() || "cpu" in it[1].split(',')) }
        .flatMap { (_, controllers, own) -> quotas(File(root, "sys/fs/cgroup/$controllers"), own) }
    val counts = quotas + listOfNotNull(affinity(root)) + Runtime.getRuntime().availableProcessors().toDouble()
    return counts.min().toInt().coerceAtLeast(1)
}

/** Limits of the group `own` and of those above it, in CPUs. mounted: where their hierarchy is. */
private fun quotas(mounted: File, own: String): List<Double> {
    val parts = own.split('/').filter(String::isNotEmpty)
    return (0..parts.size).mapNotNull { depth ->
        val group = File(mounted, parts.take(depth).joinToString("/"))
        val both = words(File(group, "cpu.max")) // version 2: "QUOTA PERIOD", or "max PERIOD"
        val apart = words(File(group, "cpu.cfs_quota_us")) + words(File(group, "cpu.cfs_period_us")) // version 1
        val (quota, period) = listOf(both, apart).firstOrNull { it.size == 2 } ?: listOf(null, null)
        if (quota == null || period == null || quota <= 0 || period <= 0) null else quota / period
    }
}

/** How many CPUs are in a list as "0-3,8". */
private fun affinity(root: File): Double? {
    val line = lines(File(root, "proc/self/status")).find { it.startsWith("Cpus_allowed_list:") } ?: return null
    val ranges = line.substringAfter(':').trim().split(',').map { range -> range.split('-').map(String::toIntOrNull) }
    return ranges.sumOf { ends -> (ends.last() ?: return null) - (ends.first() ?: return null) + 1 }.toDouble()
}

private fun words(file: File): List<Double?> =
    lines(file).firstOrNull()?.split(' ')?.map(String::toDoubleOrNull).orEmpty()

private fun lines(file: File): List<String> = try {
    file.readLines()
} catch (_: IOException) {
    emptyList()
}
