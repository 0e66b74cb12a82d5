"""The tables of the reports on speed, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.support.markdown import Report, interval, table


def latency(report: Report) -> Iterator[str]:
    header = ("threads", "model", "p50 ms", "p90 ms", "min ms", "times as fast as the reference")
    keys = ("p50_ms", "p90_ms", "min_ms", "speedup")
    yield from table(
        header,
        (
            [threads.removeprefix("threads "), name, *(f"{row[key]:.2f}" for key in keys)]
            for threads, measured in report["tables"].items()
            for name, row in measured["models"].items()
        ),
    )


def kernels(report: Report) -> Iterator[str]:
    alone = f"the products alone take {report['products_ms']:.2f} ms"
    yield f"{report['model']}, {report['runs']} rounds; {alone}."
    yield ""
    yield from table(
        ("model", "p50 ms", "over the products alone (95 %)"),
        (
            [name, f"{report['models_ms'][name]:.2f}", f"{found['ratio']:.2f} {interval(found['ci95'])}"]
            for name, found in report["over_products"].items()
        ),
    )
    yield ""
    header = (
        "rows x depth x width",
        "times in the model",
        "OpenVINO ms",
        "ONNX Runtime ms",
        "G products a second",
    )
    keys = ("openvino_ms", "onnxruntime_ms")
    yield from table(
        header,
        (
            [
                name,
                f"{row['count']}",
                *(f"{row[key]:.3f}" for key in keys),
                f"{row['billion_multiplications_a_second']:.0f}",
            ]
            for name, row in report["products"].items()
        ),
    )


def architectures(report: Report) -> Iterator[str]:
    yield f"{report['model']}, {report['runs']} rounds, one thread; gain is FP32 over INT8, in CPU time."
    yield ""
    header = ("runtime", "model", "FP32 ms", "INT8 ms", "gain (95 %)", "over the plain model's (95 %)")
    yield from table(
        (*header, "the same on the wall (95 %)", "INT8 products"),
        (
            architecture_cells(threads.removeprefix("1, "), name, measured)
            for threads, measured in report["tables"].items()
            for name in measured["gains"]
        ),
    )


def architecture_cells(runtime: str, name: str, measured: Report) -> Iterator[str]:
    yield from (runtime, name)
    yield from (f"{measured['models'][f'{name} {kind}']['cpu_ms']:.2f}" for kind in ("FP32", "INT8"))
    found, wall = (measured[key][name] for key in ("gains", "gains on the wall"))
    for ratio in (found["gain"], found.get("over plain"), wall.get("over plain")):
        yield "-" if ratio is None else f"{ratio['ratio']:.2f} {interval(ratio['ci95'])}"
    kernels = measured["kernels"][name]
    yield f"{kernels['int8']} of {kernels['all']}"


def callers(report: Report) -> Iterator[str]:
    turns = f"{report['rounds']} turns of {report['calls']} calls each"
    yield f"ConvNeXt-T, INT8, {turns}; medians of the turns' medians."
    yield ""
    rows = [
        (f"{runtime}, single calls, ms", part, name)
        for runtime, part in report["single calls"].items()
        for name in part["medians"]
    ]
    flying = report["in flight"]
    rows += [("openvino, 2 in flight, images/s", flying, name) for name in flying["medians"]]
    yield from table(
        ("measured", "by", "median", "over (95 %)"), (caller_cells(what, *row) for what, *row in rows)
    )


def caller_cells(what: str, part: Report, name: str) -> list[str]:
    found = part["ratios"].get(name)
    over = "-" if found is None else f"{found['ratio']:.3f} {interval(found['ci95'])} {part['against']}"
    return [what, name, f"{part['medians'][name]:.2f}", over]
