import json
from pathlib import Path

import pytest

from llmtool.models.quants import ChoiceError, choose, choose_file, find_label, normalize

CASES = json.loads(Path(__file__).with_name("quant_cases.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['repo']}:{case['want']}")
def test_listings_of_real_repositories(case):
    try:
        choice = choose(case["files"], case["want"])
        got = choice.file + (f" +{choice.count}" if choice.count > 1 else "")
    except ChoiceError as exc:
        got = f"!{exc.reason}"
    assert got == case["expect"]


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("m-Q4_K_M.gguf", "Q4_K_M"),
        ("m.q4-k-m.gguf", "Q4_K_M"),
        ("m-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("m-ud-iq2_xxs.gguf", "UD-IQ2_XXS"),
        ("m-BF16.gguf", "BF16"),
        ("m-fp16.gguf", "F16"),
        ("m-FP32.gguf", "F32"),
        ("m-Q4_0_4_8.gguf", "Q4_0_4_8"),
        ("m-Q4_K.gguf", "Q4_K"),
        ("m-q4.gguf", "Q4"),
        ("m-TQ1_0.gguf", "TQ1_0"),
        ("m-mxfp4_moe.gguf", "MXFP4_MOE"),
        ("m-NVFP4.gguf", "NVFP4"),
        ("f16-trained-Q8_0.gguf", "Q8_0"),
        ("Q8_0/m-00001-of-00002.gguf", "Q8_0"),
        ("m-Q6_K-00001-of-00002.gguf", "Q6_K"),
        ("BF16/m-Q8_0.gguf", "Q8_0"),
        ("a/Q8_0/b/m.gguf", None),
        ("m-xQ4_K_M.gguf", None),
        ("seq4.gguf", None),
        ("m-q4-1b.gguf", "Q4"),
    ],
)
def test_the_label_of_a_file(path, label):
    assert find_label(path) == label


@pytest.mark.parametrize(
    ("asked", "label"),
    [("q4-k-m", "Q4_K_M"), ("fp16", "F16"), ("UD_Q4_K_XL", "UD-Q4_K_XL"), ("best", None)],
)
def test_normalizes_a_label(asked, label):
    assert normalize(asked) == label


@pytest.mark.parametrize(
    ("files", "want", "file"),
    [
        (["m-UD-Q5_K_XL.gguf", "m-Q8_0.gguf"], "q5_k_xl", "m-UD-Q5_K_XL.gguf"),
        (["m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"], "Q4_K_M", "m-Q4_K_M.gguf"),
        (["m-Q8_0.gguf", "draft-m-Q4_K_M.gguf"], None, "m-Q8_0.gguf"),
        (["lorablated-Q4_K_M.gguf"], None, "lorablated-Q4_K_M.gguf"),
        (["m-F16.gguf", "m-Q6_K.gguf"], None, "m-Q6_K.gguf"),
        (["m-IQ4_XS.gguf", "m-Q4_0.gguf"], None, "m-IQ4_XS.gguf"),
    ],
)
def test_chooses_the_quant(files, want, file):
    assert choose(files, want).file == file


@pytest.mark.parametrize(
    ("files", "want", "reason", "says"),
    [
        ({"m-Q8_0.gguf": 8_100_000_000}, "Q4_0", "no-such-quant", r"it has no Q4_0; .*Q8_0 \(8.1"),
        (["m-Q8_0.gguf"], "best", "no-such-quant", "it has no best"),
        (["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], None, "pick-one", "a-Q4_K_M.gguf, b-Q4_K_M"),
        (["README.md"], "Q4_0", "no-gguf", "holds no GGUF"),
        (["m-Q4_0.gguf-split-a", "m-Q4_0.gguf-split-b"], None, "byte-split", "join the pieces"),
        (["m-Q4_0-00002-of-00002.gguf"], "Q4_0", "split-incomplete", "1 of 2 parts"),
    ],
)
def test_an_error_lists_the_models(files, want, reason, says):
    with pytest.raises(ChoiceError, match=says) as caught:
        choose(files, want)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_a_file_is_found_by_path_or_by_its_unique_name():
    files = {"a/m.gguf": 1, "m-00001-of-00002.gguf": 1, "m-00002-of-00002.gguf": 2}
    assert choose_file(files, "a/m.gguf").file == "a/m.gguf"
    assert choose_file(files, "m.gguf").file == "a/m.gguf"
    whole = choose_file(files, "m-00002-of-00002.gguf")
    assert (whole.file, whole.count, whole.size_bytes) == ("m-00001-of-00002.gguf", 2, 3)


@pytest.mark.parametrize(
    ("files", "name", "reason"),
    [
        (["a/m.gguf", "b/m.gguf"], "m.gguf", "pick-one"),
        (["model-Q4_0.gguf"], "model-Q4_1.gguf", "no-such-file"),
        (["mmproj-F16.gguf"], "mmproj-F16.gguf", "not-a-model"),
        ([], "m.gguf", "no-such-file"),
    ],
)
def test_rejects_a_file(files, name, reason):
    with pytest.raises(ChoiceError) as caught:
        choose_file(files, name)
    assert caught.value.reason == reason


def test_sizes_are_formatted_as_elsewhere():
    sizes = {"m-Q4_K_M.gguf": 98_400_000, "m-Q8_0.gguf": 2_700_000_000}
    with pytest.raises(ChoiceError, match=r"Q4_K_M \(98\.4 MB\), Q8_0 \(2\.7 GB\)"):
        choose(sizes, "Q6_K")


def test_suggests_one_similar_file():
    with pytest.raises(
        ChoiceError, match=r"^it has no file model-Q8.gguf; did you mean 'model-Q8_0.gguf'\?$"
    ):
        choose_file(["model-Q8_0.gguf"], "model-Q8.gguf")
