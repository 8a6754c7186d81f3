"""The numbers of train_vit.py as means over seeds, and its tables.

Rows are what `run.once` logged, one a network, number of pictures and seed.
"""

from __future__ import annotations

from typing import Any

from utils.results import mean_std, table

Rows = list[dict[str, Any]]
NAMES = {"vit": {"en": "ViT", "zh": "ViT"}, "resnet": {"en": "ResNet-20", "zh": "ResNet-20"}}
SCORES = ("test", "val", "train", "seconds")


def collect(rows: Rows, planned: dict[str, Any]) -> dict[str, Any]:
    """networks: of the most pictures; over_pictures: test accuracy by network and pictures."""
    most = max(row["pictures"] for row in rows)
    networks: dict[str, Any] = {}
    over: dict[str, dict[str, Any]] = {}
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == network]
        whole = [row for row in mine if row["pictures"] == most]
        networks[network] = {
            **{name: mean_std(row[name] for row in whole) for name in SCORES},
            "curves": [row["curve"] for row in whole],
            "parameters": whole[0]["parameters"],
            "architecture": whole[0]["architecture"],
            **planned[network],
        }
        over[network] = {
            str(size): {name: mean_std(r[name] for r in mine if r["pictures"] == size)
                        for name in ("test", "train")}
            for size in sorted({row["pictures"] for row in mine})
        }  # fmt: skip
    seeds = len({row["seed"] for row in rows})
    return {"networks": networks, "over_pictures": over, "seeds": seeds, "pictures": most}


def cell(metrics: dict[str, Any], pair: Any) -> Any:
    """(mean, deviation); of one seed the number."""
    return pair if metrics["seeds"] > 1 else pair[0]


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """main: a row a network, and two that need no training; pictures: a row a number of them;
    looks: what picture_looks.py measured of the ViT.
    """
    found = {"main": main_table(metrics)}
    sizes = next(iter(metrics["over_pictures"].values()))
    if len(sizes) > 1:
        found["pictures"] = pictures_table(metrics)
    if "places" in metrics:
        found["looks"] = looks_table(metrics["places"], metrics.get("rollout"))
    return found


def main_table(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Parameters", "参数量", ",d"),
        ("Pictures per second", "每秒图片数", ",.0f"),
        ("Epochs", "轮数", "d"),
        ("Training accuracy (%)", "训练准确率（%）", ".1f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
    ]
    lines = [
        [NAMES[network], row["parameters"], row["pictures_per_second"], row["epochs"],
         cell(metrics, row["train"]), cell(metrics, row["test"])]
        for network, row in metrics["networks"].items()
    ]  # fmt: skip
    linear = {"en": "linear, averaged pixels", "zh": "线性模型，平均后的像素"}
    common = {"en": "most frequent class", "zh": "总猜最多的一类"}
    lines.append([linear, metrics["linear"]["parameters"], None, None, None,
                  metrics["linear"]["test"]])  # fmt: skip
    lines.append([common, None, None, None, None, metrics["majority"]])
    return table(columns, lines)


def pictures_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """Test accuracies by number of pictures, with both networks how far the ResNet is ahead; and
    the training's, which tell a network that has learnt its pictures by heart from one that is not
    done with them.
    """
    over = metrics["over_pictures"]
    both = set(over) == set(NAMES)
    columns = [
        ("Training pictures", "训练图片数", ",d"),
        *((f"{NAMES[n]['en']} (%)", f"{NAMES[n]['zh']}（%）", ".1f") for n in over),
        *([("ResNet ahead by (points)", "ResNet 领先（百分点）", "+.1f")] if both else []),
        *((f"{NAMES[n]['en']}, training (%)", f"{NAMES[n]['zh']}，训练（%）", ".1f") for n in over),
    ]
    lines = []
    for size in next(iter(over.values())):
        tests = {network: rows[size]["test"] for network, rows in over.items()}
        ahead = [tests["resnet"][0] - tests["vit"][0]] if both else []
        training = [rows[size]["train"] for rows in over.values()]
        cells = [[cell(metrics, pair) for pair in pairs] for pairs in (tests.values(), training)]
        lines.append([int(size), *cells[0], *ahead, *cells[1]])
    return table(columns, lines)


def looks_table(places: dict[str, Any], rollout: dict[str, Any] | None) -> dict[str, Any]:
    """A row the trained network, a row the untrained one."""
    names = {
        "trained": {"en": "trained", "zh": "训练后"},
        "untrained": {"en": "untrained", "zh": "未训练"},
    }
    columns = [
        ("ViT", "ViT", "s"),
        ("Cosine of places that touch", "相邻位置的余弦", ".2f"),
        ("of all pairs", "所有位置对的余弦", ".2f"),
    ]
    rows = [[names[n], places[n]["neighbours"], places[n]["all"]] for n in names]
    if rollout:
        columns += [
            ("Map on the thing (%)", "展开图落在物体上（%）", ".1f"),
            ("Mean map on it (%)", "平均图落在其上（%）", ".1f"),
            ("Its area (%)", "物体的面积（%）", ".1f"),
        ]
        for row, found in zip(rows, (rollout[n] for n in names), strict=True):
            row += [100 * found[key] for key in ("on_object", "mean_map", "area")]
    return table(columns, rows)
