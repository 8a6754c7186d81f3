"""What each script's --quick run shows: the lesson, in the direction of the published result.

One function a script, which gets the metrics of its result file. Thresholds are far from what is
measured, so that another processor, number format or number of threads does not decide.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from course.manifest import Script, load_chapters
from course.needs import lack_of

CHAPTERS = {chapter.number: chapter for chapter in load_chapters()}
SCRIPTS = [script for chapter in CHAPTERS.values() for script in chapter.scripts]
# They draw pictures for the text, and measure nothing.
DRAWINGS = ("figures.py", "draw_figures.py", "src/figures.py", "src/draw_images.py")
Metrics = dict[str, Any]
LESSONS: dict[tuple[int, str, str], tuple[str, Callable[[Metrics], None]]] = {}


def shows(chapter: int, file: str, result: str, args: str = "") -> Callable:
    """Register the direction of a script: a function of the metrics in `result`.json."""

    def register(check: Callable[[Metrics], None]) -> Callable[[Metrics], None]:
        LESSONS[chapter, file, args] = result, check
        return check

    return register


def key(script: Script) -> tuple[int, str, str]:
    number = next(n for n, chapter in CHAPTERS.items() if chapter.name == script.chapter)
    words = script.args.split()  # the first option names the case: --dataset, --mode, --task
    short = " ".join(words[:2]) if words[:1] in (["--dataset"], ["--mode"], ["--task"]) else ""
    return number, script.file, short


def test_every_script_that_measures_has_a_direction():
    expected = {key(script) for script in SCRIPTS if script.file not in DRAWINGS}
    assert set(LESSONS) == expected


@pytest.mark.parametrize(
    "script",
    [script for script in SCRIPTS if script.file not in DRAWINGS],
    ids=lambda script: " ".join(map(str, key(script))).strip(),
)
def test_the_quick_run_shows_the_lesson(script: Script, quick_run):
    if lack_of(script.needs):
        pytest.skip(lack_of(script.needs))
    done = quick_run(script.path, script.args)
    assert done.returncode == 0, done.stderr[-3000:]
    result, check = LESSONS[key(script)]
    check(done.result(result)["metrics"])


def mean(pair: list[float]) -> float:
    """Of (mean, deviation)."""
    return pair[0]


def rising(values: list[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


# --- chapter 1 ---


@shows(1, "autograd.py", "autograd")
def gradients_are_pytorchs(m: Metrics) -> None:
    assert m["largest_difference"] < 1e-12
    assert m["scalar_gradients"] == {"x": 18, "w": 15, "b": 6, "t": -6}


@shows(1, "graph_visualization.py", "graph_visualization")
def both_graphs_are_one(m: Metrics) -> None:
    ours, torchs = m["graph_ours"], m["graph_torch"]
    assert ours["edges"] - torchs["edges"] == ours["nodes"] - torchs["nodes"] == 1


@shows(1, "dim_transform_torch.py", "dim_transform")
def some_operations_copy(m: Metrics) -> None:
    assert (m["views"], m["copies"]) == (10, 7)


@shows(1, "jvp.py", "jvp")
def derivatives_are_torch_funcs(m: Metrics) -> None:  # its times are not asserted
    assert max(m["difference"].values()) < 1e-12 and m["n_of_many_inputs"] == 16


@shows(1, "checkpointing.py", "checkpointing")
def recomputing_saves_memory(m: Metrics) -> None:
    assert max(m["memory_ratio_ours"], m["memory_ratio_torch"]) < 0.7
    assert m["gradient_difference"]["ours"] == 0 < m["gradient_difference"]["ours_without_rng"]
    assert 1 < m["best_segment_length"] < m["deepest"]


@shows(1, "custom_function.py", "custom_function")
def wrong_backward_passes_are_found(m: Metrics) -> None:
    passed = {name: row["gradcheck"] and row["gradgradcheck"] for name, row in m["checks"].items()}
    assert [name for name, both in passed.items() if both] == ["right"]
    errors = {name: row["smallest_error"] for name, row in m["steps"].items()}
    assert errors["central_float64"] < errors["forward_float64"] < errors["forward_float32"]
    assert m["custom_saved_bytes"] < m["composed_saved_bytes"]


@shows(1, "train_digits.py", "train_digits")
def our_engine_learns_digits(m: Metrics) -> None:
    assert m["mlp"]["mean"] > max(m["nearest_mean"], m["linear"]["mean"]) > 5 * m["chance"]


@shows(1, "train_digits.py", "train_mnist", "--dataset mnist")
def our_engine_learns_mnist(m: Metrics) -> None:
    our_engine_learns_digits(m)


# --- chapter 2 ---


@shows(2, "backprop_numpy.py", "backprop_numpy")
def matrix_formulas_are_exact(m: Metrics) -> None:
    assert max(m["difference_to_torch"], m["difference_to_chapter_1"]) < 1e-12
    assert m["largest_difference_over_depth"] < 1e-10


@shows(2, "linear_models.py", "linear_models")
def standardising_and_curvature_save_steps(m: Metrics) -> None:
    assert m["largest_coefficient_difference"] < 1e-3
    assert m["steps_standardised"] < m["steps_own_units"]
    assert 100 * m["steps_Newton"] < m["steps_gradient_descent"]


@shows(2, "mlp.py", "standard", "--mode standard")
def the_fit_nears_the_optimum(m: Metrics) -> None:
    assert 1 < m["kinds"]["silu"]["ratio"] < 2


@shows(2, "mlp.py", "2d_surface", "--mode 2d_surface")
def the_surface_is_fitted(m: Metrics) -> None:
    assert 1 < m["kinds"]["silu"]["ratio"] < 3


@shows(2, "mlp.py", "extrapolate", "--mode extrapolate")
def outside_a_fit_follows_its_activation(m: Metrics) -> None:
    outside = {name: row["rmse_outside_mean"] for name, row in m["kinds"].items()}
    assert 5 * outside["sin_features"] < outside["tanh"] < outside["relu"]


@shows(2, "exp_universal_approximation.py", "universal_approximation")
def errors_fall_with_width(m: Metrics) -> None:
    slopes = m["slopes"]
    assert max(slopes["width_relu"], slopes["width_tanh"]) < -0.1
    assert slopes["relu_sup"] < slopes["sup"] < -0.5 and m["largest_error_over_bound"] <= 1


@shows(2, "exp_activations.py", "activations")
def sigmoids_stop_deep_networks(m: Metrics) -> None:
    key = "accuracy_depth_20_mean_percent"
    deep = {name: m[name][key] for name in ("sigmoid", "tanh", "relu", "elu")}
    assert min(deep["tanh"], deep["relu"], deep["elu"]) > 4 * deep["sigmoid"]
    assert 1e6 * m["sigmoid"]["first_gradient_30"] < m["relu"]["first_gradient_30"]


@shows(2, "exp_initialization.py", "initialization")
def only_kaiming_learns(m: Metrics) -> None:
    percents = {name: row["mean"] for name, row in m["accuracy_percent"].items()}
    best = percents.pop("Kaiming")
    assert best > 3 * max(percents.values())
    for row in m["growth"]["relu"].values():
        assert row["forward_measured"] == pytest.approx(row["forward_predicted"], rel=0.1)


@shows(2, "classify.py", "classify_spiral", "--dataset spiral")
@shows(2, "classify.py", "classify_digits", "--dataset digits")
@shows(2, "classify.py", "classify_fashion_mnist", "--dataset fashion_mnist")
def the_mlp_beats_softmax_regression(m: Metrics) -> None:
    assert m["accuracy_mean_percent"] > m["softmax_regression"] > m["chance"]


@shows(2, "house_prices.py", "house_prices")
def all_models_beat_the_median(m: Metrics) -> None:
    errors = {name: mean(row["rmse"]) for name, row in m["models"].items()}
    assert max(errors["linear"], errors["ridge"], errors["mlp"]) < 0.8 * errors["median"]


@shows(2, "house_prices.py", "house_prices_ames", "--dataset ames")
def the_mlp_is_best_on_ames(m: Metrics) -> None:
    errors = {name: mean(row["rmsle"]) for name, row in m["models"].items()}
    assert errors["mlp"] < errors["ridge"] < errors["median"] / 2


# --- chapter 3 ---


@shows(3, "exp_optimization.py", "optimization")
def every_optimiser_leaves_chance(m: Metrics) -> None:
    for network in m["networks"].values():
        for name, row in network["optimizers"].items():
            assert row["test"][0] > 60, name
    turned, along = (m["rotation"]["Adagrad"][case]["mean"] for case in ("rotated", "aligned"))
    assert along < turned  # a rate for each axis helps along the axes
    descent = m["condition"]["gradient_descent"]
    assert 50 * descent["k10"]["mean"] < descent["k1000"]["mean"]


@shows(3, "lr_finder.py", "lr_finder")
def the_range_test_finds_a_rate_that_learns(m: Metrics) -> None:
    for name in ("SGD", "Adam"):
        assert m[name]["tenth_of_minimum_loss"] < 1.5  # untrained: ln 10 = 2.3


@shows(3, "exp_schedules.py", "schedules")
def decay_beats_a_constant_rate(m: Metrics) -> None:
    losses = {name: row["val_mean"] for name, row in m["schedules"].items()}
    assert min(losses["cosine"], losses["warmup_cosine"]) < losses["constant"]


@shows(3, "exp_batch_size.py", "batch_size")
def larger_batches_need_fewer_steps(m: Metrics) -> None:
    for optimizer in ("sgd", "adam"):
        (steps,) = m[optimizer]["steps"]
        assert steps[0] > 2 * min(steps[1:])


@shows(3, "exp_regularization.py", "regularization")
def every_remedy_helps(m: Metrics) -> None:
    tests = {name: row["test_mean"] for name, row in m["methods"].items()}
    for name in ("l1", "l2", "early", "dropout", "smoothing", "mixup", "augment"):
        assert tests["none"] < tests[name] < tests["right_labels"], name
    assert m["methods"]["l2"]["memorised_mean"] < m["methods"]["none"]["memorised_mean"]


@shows(3, "exp_double_descent.py", "double_descent")
def the_error_peaks_at_the_threshold(m: Metrics) -> None:
    error = m["summary"]["wrong_20"]
    assert error["peak_mean"] > 1.5 * max(error["narrow_mean"], error["widest_mean"])
    assert error["peak_ridge_mean"] < error["peak_mean"] / 2


@shows(3, "exp_normalization.py", "normalization")
def batch_norm_stands_larger_rates(m: Metrics) -> None:
    tests = {name: row["test"]["mean"] for name, row in m["rates"].items()}
    assert (
        tests["batch"] > 1.2 * max(tests["none"], tests["group"])
        and tests["none"] > tests["instance"]
    )
    slow = m["evaluation"]["slow"]
    assert slow["running"]["mean"] < slow["own"]["mean"] / 2  # running means that lag behind


@shows(3, "exp_loss_landscape.py", "loss_landscape")
def batch_norm_flattens(m: Metrics) -> None:
    assert m["rise_at_radius_ratio"] > 1.2 and m["sharpness_ratio"] > 2
    tests = [m[name]["test_accuracy_percent"]["mean"] for name in ("none", "batch")]
    assert rising(tests)


@shows(3, "train.py", "train_digits")
def the_loop_learns(m: Metrics) -> None:
    assert m["test_mean"] > 8 * m["chance"][0]


# --- chapter 4 ---


@shows(4, "demo_conv_math.py", "conv_math")
def convolution_commutes_with_shifts(m: Metrics) -> None:
    assert m["laws"]["convolution"]["commutative"] < 1e-12 < m["laws"]["correlation"]["commutative"]


@shows(4, "model.py", "model_table")
def counts_are_the_published_ones(m: Metrics) -> None:
    assert m["original"]["vgg11"]["parameters"] == 132_863_336


@shows(4, "receptive_field.py", "receptive_field")
def the_effective_field_is_smaller(m: Metrics) -> None:
    assert m["stacks"]["exponent"]["relu"] < m["stacks"]["exponent"]["theory"]
    for row in m["networks"].values():
        assert row["effective"]["mean"] <= row["theory"]


@shows(4, "demo_augmentation.py", "augmentation")
def augmentation_hides_a_part(m: Metrics) -> None:  # its times are not asserted
    assert 5 < m["hidden_percent"] < 50 and len(m["microseconds"]) == 10


@shows(4, "exp_translation.py", "translation")
def a_moved_picture_is_new_to_an_mlp(m: Metrics) -> None:
    moved = {name: row["centred"]["2"] for name, row in m["shift"].items()}
    assert min(moved["cnn_flatten"], moved["cnn_mean"]) > 2 * max(moved["mlp"], moved["mlp_wide"])


@shows(4, "exp_data_size.py", "data_size_digits")
def pictures_are_worth_more_than_augmentation(m: Metrics) -> None:
    plain, augmented = m["mean"]["without"], m["mean"]["with"]
    fewest, most = str(m["sizes"][0]), str(m["sizes"][-1])
    assert plain[fewest] < augmented[fewest] and plain[fewest] + 15 < plain[most]


@shows(4, "train.py", "train_shapes_simple_cnn", "--dataset shapes")
@shows(4, "train.py", "train_digits_simple_cnn", "--dataset digits")
def the_network_leaves_chance(m: Metrics) -> None:
    assert m["test_mean"] > 2.5 * m["baseline"]


@shows(4, "inference.py", "inference")
def most_pictures_are_recognised(m: Metrics) -> None:
    assert m["right"] >= 8 and m["named"] == 10


@shows(4, "exp_architectures.py", "architectures_digits")
def a_heavy_network_sees_few_pictures(m: Metrics) -> None:
    networks = m["networks"]
    assert mean(networks["alexnet"]["pictures"]) < mean(networks["simple_cnn"]["pictures"])
    assert mean(networks["alexnet"]["test"]) < max(mean(row["test"]) for row in networks.values())


@shows(4, "exp_depth_vgg.py", "depth_vgg_digits")
def batch_norm_lets_depth_learn(m: Metrics) -> None:
    assert min(m["bn_gain"].values()) > 20
    assert mean(m["networks"]["vgg19"]["test"]) < 3 * m["chance"]


@shows(4, "exp_ladder.py", "ladder_digits", "--dataset shapes")
def the_ladder_rises(m: Metrics) -> None:
    tests = {name: mean(row["test"]) for name, row in m["rungs"].items()}
    assert tests["sigmoid"] < 20 and rising([tests[n] for n in ("sigmoid", "relu", "he")])
    assert min(tests["one_cycle"], tests["longer"], tests["mirror"]) > 80


@shows(4, "speedrun.py", "speedrun_shapes", "--dataset shapes")
def more_seconds_are_more_accuracy(m: Metrics) -> None:
    short, long = (row["accuracy_6_percent"] for row in m["means"].values())
    assert short + 10 < long > 80


# --- chapter 5 ---


@shows(5, "src/model_train.py", "compare_digits_32", "--dataset shapes")
def the_residual_network_falls_below_its_twin(m: Metrics) -> None:
    losses = {kind: mean(row["train_loss"]) for kind, row in m["networks"].items()}
    assert losses["resnet"] < losses["plainnet"] / 2
    assert mean(m["networks"]["resnet"]["test"]) > mean(m["networks"]["plainnet"]["test"]) + 20


@shows(5, "src/model.py", "model_costs")
def costs_are_the_published_ones(m: Metrics) -> None:
    assert m["networks"]["resnet50"]["published"]["parameters"] == 25_557_032


@shows(5, "src/inference.py", "inference")
def the_airplane_is_recognised(m: Metrics) -> None:
    assert m["right"] == m["named"] == 1


@shows(5, "src/cam.py", "cam_natural_images96")
def the_heat_finds_what_counts(m: Metrics) -> None:
    assert min(row["score"] for row in m["scores"].values()) > 0.1
    for name, kept in m["sanity"].items():  # with shuffled weights the map is another one
        assert min(r for r in kept[1:] if r is not None) < 0.9 * kept[0], name


@shows(5, "src/exp_degradation.py", "degradation_digits")
def depth_harms_the_plain_network_only(m: Metrics) -> None:
    assert m["depth_cost"]["plainnet"] > 0.2 and m["depth_cost"]["resnet"] < 0.1
    errors = {name: mean(row["train_error"]) for name, row in m["networks"].items()}
    assert errors["plainnet32"] > 2 * errors["resnet32"]


@shows(5, "src/exp_gradient_flow.py", "gradient_flow")
def shortcuts_keep_the_gradient_even(m: Metrics) -> None:
    ratio = {name: row["ratio"] for name, row in m["variants"].items()}
    assert ratio["residual_bn"] < ratio["plain_bn"] / 3
    assert m["variants"]["plain"]["condition"] > m["variants"]["residual"]["condition"]


@shows(5, "src/exp_unravelled.py", "unravelled")
def a_residual_network_survives_a_deletion(m: Metrics) -> None:
    errors = {name: sorted(row["one"])[len(row["one"]) // 2] for name, row in m["networks"].items()}
    assert errors["resnet20"] + 20 < errors["plainnet20"]


@shows(5, "src/exp_ablations.py", "ablations_digits_20")
def no_shortcut_is_the_worst_switch(m: Metrics) -> None:
    tests = {name: mean(row["test"]) for name, row in m["variants"].items()}
    worst = tests.pop("plain")
    assert worst + 20 < min(tests.values())


@shows(5, "src/exp_modern.py", "modern_digits")
def fewer_operations_are_not_fewer_milliseconds(m: Metrics) -> None:
    costs, tests = m["costs"], {name: mean(row["test"]) for name, row in m["networks"].items()}
    light, heavy = costs["shufflenet_v2_x0_5"], costs["resnet20"]
    assert 5 * light["macs"] < heavy["macs"] and tests["resnet20"] > max(
        50, tests["shufflenet_v2_x0_5"]
    )


@shows(5, "src/fine_tune.py", "fine_tune_embedded")
def borrowed_features_beat_a_fresh_start(m: Metrics) -> None:
    tests = {name: mean(row["10"]["test"]) for name, row in m["methods"].items()}
    assert min(tests["frozen"], tests["layerwise"]) > tests["scratch"] + 5
    assert tests["frozen"] > m["chance"] + 10


# --- chapter 6 ---


@shows(6, "exp_gradient_flow.py", "gradient_flow")
def gates_carry_what_matrices_lose(m: Metrics) -> None:
    factors = {cell: {v: row["factor"] for v, row in m["flow"][cell].items()} for cell in m["flow"]}
    for value in ("0_5", "0_9", "1_0", "1_5"):  # the bound holds, and below 1 it is near
        assert factors["rnn"][value] <= m["flow"]["rnn"][value]["bound"] + 1e-6
    assert factors["rnn"]["0_5"] < 0.6 and factors["rnn"]["1_5"] > 1.02
    for cell in ("lstm", "gru"):
        assert factors[cell]["default"] < factors[cell]["0"] < factors[cell]["1"]
        assert factors[cell]["chrono"] > 0.95
    errors = [mean(pair) for pair in m["truncation"]["networks"]["rnn_0_9"]["error"]]
    assert rising(errors[::-1])
    clipped = m["clipping"]
    assert clipped["rate_0_3_free"]["diverged"] == 1 and not clipped["rate_0_3_clipped"]["diverged"]


@shows(6, "exp_leak.py", "leak")
def a_shuffled_split_claims_what_is_not_true(m: Metrics) -> None:
    cuts = m["5_gram"]
    assert cuts["overlapping_windows"]["flattery_mean"] > 0.3
    assert cuts["overlapping_windows"]["claimed_mean"] < cuts["windows"]["claimed_mean"] - 0.1
    assert cuts["windows"]["claimed_mean"] < cuts["windows"]["true_mean"] - 0.05
    assert cuts["overlapping_windows"]["true_mean"] > cuts["contiguous"]["true_mean"] - 0.05
    assert cuts["overlapping_windows"]["copied_percent_mean"] > 60


@shows(6, "exp_long_memory.py", "long_memory_20")
def a_gate_remembers_where_the_rnn_does_not(m: Metrics) -> None:
    errors = {name: row["mse_mean"] for name, row in m["rows"].items()}
    without = min(errors[name] for name in errors if name.startswith("rnn"))
    assert without > 0.8 * m["baseline"] > 4 * max(errors["lstm_chrono"], errors["gru_chrono"])


@shows(6, "view_units.py", "view_units")
def training_makes_units_follow_something(m: Metrics) -> None:
    best = max(m.values(), key=lambda row: abs(row["r"]))
    assert abs(best["r"]) > 0.4
    assert any(abs(row["r"]) > row["untrained_mean"] + 0.1 for row in m.values())


@shows(6, "train_language_model.py", "language_model_topics")
def memory_beats_a_table_of_pairs(m: Metrics) -> None:
    assert m["bits_per_character_mean"] < m["bits_2gram"] - 0.4 < m["bits_1gram"] - 0.4


@shows(6, "generate.py", "generate")
def the_model_is_not_surprised_by_its_own_text(m: Metrics) -> None:
    assert 0 < m["bits_per_token"] < 3  # 100 characters, all alike: 6.6
    assert all(text.startswith("The ") for text in m["texts"])


@shows(6, "train_forecast.py", "forecast_lorenz")
def a_state_forecasts_further_than_a_line(m: Metrics) -> None:
    near = {name: mean(row["over"]["1"]) for name, row in m["models"].items()}
    assert near["gru"] < 0.85 * near["ar"] < near["persistence"] < 1.5 * near["mlp_1"]


@shows(6, "train_forecast.py", "forecast_ett", "--dataset ett")
def a_forecast_beats_the_day_before(m: Metrics) -> None:
    errors = {name: mean(row["over"]["96"]) for name, row in m["models"].items()}
    assert errors["ar"] < errors["seasonal"] < errors["persistence"]


@shows(6, "train_seq2seq.py", "seq2seq_numbers")
def one_vector_holds_one_number(m: Metrics) -> None:
    exact = [mean(row["exact_percent"]) for row in m["test"].values()]
    assert exact[0] > exact[-1] + 25 and exact[0] > m["lookup_percent"]
    assert all(mean(r["forced_percent"]) >= mean(r["free_percent"]) for r in m["test"].values())


@shows(6, "train_seq2seq.py", "seq2seq_multi30k", "--dataset multi30k")
def sentences_are_scored_as_everyone_does(m: Metrics) -> None:  # a smoke run: too short to learn
    assert "tok:13a" in m["signature"] and "case:mixed" in m["signature"]
    assert 0 <= m["bleu_mean"] < 100 and m["copy_bleu"] > 0


@shows(6, "pronounce.py", "pronounce")
def real_weights_know_how_words_sound(m: Metrics) -> None:
    assert " ".join(m["phonemes"]["transformer"]) == "T R AE0 N S F AO1 R M ER0"


@shows(6, "train_classifier.py", "classifier_languages")
def belief_grows_with_every_letter_up_to_what_can_be_known(m: Metrics) -> None:
    (row,) = m["numbers"].values()
    assert row["lstm_mean"][0] < 0.3 < 0.5 < row["lstm_mean"][5] < row["best"][5]
    assert max(a - b for a, b in zip(row["lstm_mean"], row["best"], strict=True)) <= 0
    packed, off = m["padding"]["packed"], m["padding"]["pack_off"]
    assert packed["alone"] == packed["more"] == off["alone"]
    assert off["more"]["mean"] < packed["more"]["mean"]


@shows(6, "train_classifier.py", "classifier_rt_polarity", "--dataset rt_polarity")
def counting_words_beats_guessing(m: Metrics) -> None:
    tests = {name: row["test_mean"] for name, row in m["classifiers"].items()}
    assert len(tests) == 5
    assert tests["naive_bayes"] > m["most_frequent_percent"] + 12
    assert tests["bag"] > m["most_frequent_percent"] + 7


# --- chapter 7 ---


@shows(7, "exp_masks.py", "masks")
def a_wrong_mask_claims_what_cannot_be_known(m: Metrics) -> None:
    rows, best = m["variants"], mean(m["best"])
    for name in ("right", "right_packed", "top_left_cached", "finite_1e9"):
        assert mean(rows[name]["leak_percent"]) == 0
    assert best < mean(rows["right"]["claimed"]) < mean(m["no_context"])
    for name in ("shifted_by_one", "no_causal_mask", "inverted"):
        assert mean(rows[name]["claimed"]) < best - 1 < best + 1 < mean(rows[name]["true"])
        assert mean(rows[name]["leak_percent"]) > 20
    assert m["finite_difference"] == m["right_padding_difference"] == 0


@shows(7, "exp_scaling.py", "scaling")
def unscaled_scores_are_sure_too_early(m: Metrics) -> None:
    none, root = (m["random"][name]["1024"] for name in ("none", "root"))
    assert mean(none["variance"]) > 800 and mean(root["variance"]) == pytest.approx(1, rel=0.1)
    assert mean(none["entropy"]) < 0.1 < 0.8 < mean(root["entropy"])
    assert mean(none["little_percent"]) > 50 > 5 > mean(root["little_percent"])
    wide = {way: row["steps_mean"] for way, row in m["lookup"]["256"].items()}
    assert wide["none"] > 1.5 * max(wide["root"], wide["normalised"])


@shows(7, "train_translation.py", "translation_numbers")
def a_look_writes_two_numbers_where_one_vector_loses_them(m: Metrics) -> None:
    exact = {kind: row["exact_percent"] for kind, row in m["kinds"].items()}
    assert mean(exact["additive"]["2"]) > mean(exact["none"]["2"]) + 30
    assert mean(exact["additive"]["1"]) > 50 > m["lookup_percent"]


@shows(7, "train_translation.py", "translation_multi30k", "--dataset multi30k")
def looking_is_scored_as_everyone_does(m: Metrics) -> None:  # a smoke run: too short to learn
    assert "tok:13a" in m["signature"] and "case:mixed" in m["signature"]
    assert 0 <= mean(m["kinds"]["luong"]["beam_bleu"]) < 100


@shows(7, "translate.py", "translate")
def the_unit_is_looked_at_before_the_tens(m: Metrics) -> None:
    assert m["translation"] == "einundzwanzig, dreihundertfünf"
    assert m["path"][0] > m["path"][1]


@shows(7, "exp_heads.py", "heads")
def one_head_carries_what_the_others_need_not(m: Metrics) -> None:
    found = m["shipped"]
    assert mean(found["all_heads"]) > 90 > mean(found["heads"][0]["without_zero"]) + 50
    assert mean(found["heads"][-1]["without_zero"]) > 80
    orders = {name: mean(pairs[1]) for name, pairs in found["pruning"]["zero"].items()}
    assert orders["most"] < orders["random"] < orders["least"]


@shows(7, "exp_explanation.py", "explanation")
def the_evidence_points_both_ways(m: Metrics) -> None:
    changes = {name: mean(row["change"]) for name, row in m["shipped"]["changes"].items()}
    assert min(changes["permuted"], changes["looked"]) > 5 * changes["random"]  # for
    assert changes["looked"] > changes["diagonal"]
    assert mean(m["shipped"]["adversary_elsewhere_percent"]) > 50  # against
    assert changes["best"] > changes["looked"] + 0.02


@shows(7, "view_attention.py", "view_attention")
def the_heads_look_at_words_and_their_paths_cross(m: Metrics) -> None:
    assert m["written"] == "einundzwanzig, dreihundertfünfundsechzig"
    rows = m["heads"]
    assert min(row["entropy"] for row in rows.values()) < 0.5  # all alike: ln 11 = 2.4
    assert rows["mean"]["crossings"] >= 2


@shows(7, "train_sort.py", "sort_pointer")
def the_mask_lets_it_sort_longer_lists_than_it_saw(m: Metrics) -> None:
    rows, marks = m["rows"], m["baselines"]
    exact = {
        name: {size: mean(row["exact_percent"]) for size, row in found.items()}
        for name, found in rows.items()
    }
    assert exact["masked"]["10"] > 50 > 10 > marks["guess"]["10"]["exact_percent"]
    assert exact["masked"]["20"] > exact["free"]["20"] + 15
    assert mean(rows["free"]["5"]["place_percent"]) > marks["chance"]["5"]["place_percent"] + 20


@shows(7, "exp_visual_attention.py", "visual_attention")
def the_networks_look_at_places_and_are_not_told_them(m: Metrics) -> None:
    marks, tests = m["baselines"], {name: mean(row["test"]) for name, row in m["rows"].items()}
    assert marks["chance"] < 20 < marks["histogram"] < marks["told"] - 50
    assert min(tests.values()) > marks["histogram"] + 8 and max(tests.values()) < marks["told"]
    assert m["rows"]["scsa"]["step_ratio"] > 1.1


# --- chapter 8 ---


@shows(8, "train.py", "train_numbers")
def attention_alone_translates_lists(m: Metrics) -> None:
    exact = m["kinds"]["sinusoidal"]["exact_percent"]
    assert mean(exact["1"]) > 70 and mean(exact["2"]) > 50
    assert mean(exact["4"]) < mean(exact["2"]) - 30  # never trained


@shows(8, "train.py", "train_sort", "--task sort")
def places_are_needed_to_sort_and_end_where_training_ended(m: Metrics) -> None:
    exact = {kind: row["exact_percent"] for kind, row in m["kinds"].items()}
    trained, longest = str(m["trained"]), str(max(map(int, m["tokens"])))
    assert max(mean(row[trained]) for row in exact.values()) > 45  # of a short training
    assert all(mean(row[longest]) < mean(row[trained]) + 5 for row in exact.values())


@shows(8, "train.py", "train_multi30k", "--task multi30k")
def a_transformer_is_scored_as_everyone_does(m: Metrics) -> None:  # a smoke run
    assert "tok:13a" in m["signature"] and "case:mixed" in m["signature"]
    assert set(m["ways"]) == {"greedy", "beam", "average"}
    assert all(0 <= mean(way["bleu"]) < 100 for way in m["ways"].values())


@shows(8, "translate.py", "translate")
def the_best_line_is_the_right_one(m: Metrics) -> None:
    assert m["lines"][0] == "einundzwanzig, dreihundertfünf"
    assert m["scores"] == sorted(m["scores"])[::-1]


@shows(8, "evaluate.py", "evaluate")
def short_lists_are_right(m: Metrics) -> None:
    assert m["loss"] < 1 and min(m["exact_percent"][k] for k in "123") > 90


@shows(8, "exp_ablations.py", "ablations")
def without_order_or_a_path_little_is_learnt(m: Metrics) -> None:
    loss = {name: mean(row["val_loss"]) for name, row in m["variants"].items()}
    base = loss["pre-norm, 2 layers, warm-up"]
    assert loss["no positions"] > 1.5 * base and loss["no residual"] > 3 * base


@shows(8, "train_gpt.py", "gpt_topics")
def a_window_beats_a_table_of_pairs(m: Metrics) -> None:
    assert m["bits_per_character_mean"] < m["bits_2gram"] - 0.4


@shows(8, "exp_speed.py", "speed")
def a_cache_gains_more_the_longer_the_line(m: Metrics) -> None:
    ratios = {int(length): row["ratio"] for length, row in m["cache"].items()}
    shortest, longest = min(ratios), max(ratios)
    assert ratios[longest] > ratios[shortest] and ratios[longest] > 1.5


@shows(8, "exp_induction.py", "induction")
def two_layers_remember_and_one_does_not(m: Metrics) -> None:
    loss = {layers: mean(row["known"]) for layers, row in m["layers"].items()}
    assert loss["2"] < 2 < loss["1"]  # a plateau at 2.8, the cliff at half of the steps
    assert mean(m["layers"]["2"]["matching"]) > 2 * mean(m["layers"]["1"]["matching"])


@shows(8, "sentences.py", "sentences")
def real_weights_find_meaning_where_words_find_nothing(m: Metrics) -> None:
    found = {name: row["found"] for name, row in m["methods"].items()}
    assert found["tfidf"] == 0 < found["inputs"] < found["minilm"] >= 18
    assert m["methods"]["minilm"]["over_trap"]["opposite"] <= 1


@shows(8, "train_vit.py", "vit_digits")
def a_prior_saves_pictures_and_places_find_the_grid(m: Metrics) -> None:
    tests = {name: mean(row["test"]) for name, row in m["networks"].items()}
    assert m["chance"] + 25 < tests["vit"] < tests["resnet"] - 3
    trained, before = m["places"]["trained"], m["places"]["untrained"]
    assert trained["neighbours"] > before["neighbours"] + 0.1
    assert trained["neighbours"] > trained["all"] + 0.1


@shows(8, "train_bert.py", "bert_topics")
def both_neighbours_tell_more_than_one(m: Metrics) -> None:  # a smoke run: too short to learn
    marks = m["marks"]
    assert marks["unigram"] < marks["left"] < marks["both"] <= marks["wide"] + 1
    assert marks["overlap"] > marks["next_frequent"] + 10
    assert mean(m["accuracy_percent"]) > marks["unigram"]


@shows(8, "finetune_bert.py", "finetune_pairs")
def who_compares_two_numbers_must_read_both(m: Metrics) -> None:
    tests = {name: row["test_mean"] for name, row in m["rows"].items()}
    assert tests["logistic"] > max(tests["first_alone"], tests["second_alone"]) + 10
    assert tests["scratch"] > tests["logistic"] + 5


@shows(8, "finetune_bert.py", "finetune_rt_polarity", "--task rt_polarity")
def a_few_labels_are_enough_for_pretrained_vectors(m: Metrics) -> None:
    tests = {name: row["test_mean"] for name, row in m["rows"].items()}
    assert tests["frozen"] > max(tests["naive_bayes"], tests["logistic"]) + 4


@shows(8, "finetune_bert.py", "finetune_sick", "--task sick")
def vectors_know_what_is_related(m: Metrics) -> None:
    found = m["relatedness"]
    assert found["relatedness"] > found["relatedness_words"] + 0.05
