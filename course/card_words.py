"""The facts of model cards in Chinese. Checkpoints hold most of them in English only.

    in_chinese("classification into 10 classes")  ->  "10 类分类"
    in_chinese("test_accuracy")                   ->  "测试准确率"

Names that are typed (data sets, modules, options) stay as they are. A fact that no rule knows comes
back in English; a test finds it as soon as a shipped file has it.
"""

import re

RULES = [  # (what a whole fact looks like, how Chinese says it)
    (r"classification into (\d+) classes", r"\1 类分类"),
    (r"classification into (\d+) classes, (\d+) views", r"\1 类分类，测试时取 \2 个视图"),
    (r"language modelling", "语言建模"),
    (r"forecast of the next rows of a series", "预测序列的后续各行"),
    (r"sequence to sequence", "序列到序列"),
    (r"translation with attention", "带注意力的翻译"),
    (r"language modelling with a decoder-only Transformer", "用仅解码器 Transformer 做语言建模"),
    (r"translation with a Transformer", "用 Transformer 翻译"),
    (r"masked words and next sentence", "被掩的词与下一段"),
    (r"val_next_accuracy_percent", "验证集“是否下一段”准确率（%）"),
    (r"sorting numbers from 0 to 1 with a pointer network", "用指针网络给 0 到 1 的数排序"),
    (r"the language of a number word, after each character", "读完每个字符后判断数词属于哪种语言"),
    (r"regression, (\S+ --mode \S+): (\d+) networks", r"回归，\1：\2 个网络"),
    (r"val_accuracy", "验证准确率"),
    (r"val_accuracy_percent", "验证准确率（%）"),
    (r"test_accuracy", "测试准确率"),
    (r"test_accuracy_percent", "测试准确率（%）"),
    (r"(\w+)_rmse_outside", r"\1 训练区间外 RMSE"),
    (r"(\w+)_rmse", r"\1 RMSE"),
    (r"per cent of the test split, first of the seeds", "测试集上的百分数，取第一个随机种子"),
    (
        r"RMSE against the noise-free function, mean over seeds",
        "与无噪声函数之间的 RMSE，对随机种子取平均",
    ),
    (
        r"epoch (\d+) of (\d+), seed (\d+); both chosen on the validation split",
        r"\2 轮中的第 \1 轮，随机种子 \3；两者都由验证集选出",
    ),
    (
        r"measured on image copies that have lost some detail; "
        r"expect slightly more on the official pixels",
        "在丢失了一些细节的图片副本上测得；换成官方像素，应当略高一些",
    ),
    (r"drawn by the course", "课程自绘"),
    (r"image files \((\w+)\)", r"图片文件（\1）"),
    (r"image files \((\w+)\), not the official pixels", r"图片文件（\1），不是官方像素"),
]


def in_chinese(text: str) -> str:
    """`text` by the first rule that fits it as a whole, or as it is."""
    for pattern, chinese in RULES:
        if re.fullmatch(pattern, text):
            return re.sub(pattern, chinese, text)
    return text
