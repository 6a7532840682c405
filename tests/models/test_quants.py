import json
from pathlib import Path

import pytest

from llmtool.models.quants import ChoiceError, choose, find_label, normalize

CASES = json.loads(Path(__file__).with_name("quant_cases.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['repo']}:{case['want']}")
def test_choice_in_real_repositories(case):
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
        ("m-Q4_K_P.gguf", "Q4_K_P"),
        ("m.q4-k-p.gguf", "Q4_K_P"),
        ("m-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("m-q4_0_s.gguf", "Q4_0_S"),
        ("m-Q8_0_L.gguf", "Q8_0_L"),
        ("m-Q5_K_M_L.gguf", "Q5_K_M_L"),
        ("m-Q4_K_XXL.gguf", "Q4_K_XXL"),
        ("m-IQ4_KS.gguf", "IQ4_KS"),
        ("m-smol-IQ4_KSS.gguf", "IQ4_KSS"),
        ("m-IQ3_KT.gguf", "IQ3_KT"),
        ("m-Q8_KV.gguf", "Q8_KV"),
        ("m-IQ4_K_R4.gguf", "IQ4_K_R4"),
        ("m-Q8_0_R8.gguf", "Q8_0_R8"),
        ("m-Q1_0_g128.gguf", "Q1_0_G128"),
        ("m-UD-TQ1_0.gguf", "UD-TQ1_0"),
        ("m.i1-Q4_K_M.gguf", "Q4_K_M"),
        ("m_q4_k_m_v2.gguf", "Q4_K_M"),
        ("m_q4_0_it.gguf", "Q4_0"),
        ("m_q4_0_7b.gguf", "Q4_0"),
        ("m-IQ4_XS_4.25bpw.gguf", "IQ4_XS"),
        ("m-Q4_K_M_2.gguf", "Q4_K_M"),
        ("Q4_K_P/m-00001-of-00002.gguf", "Q4_K_P"),
    ],
)
def test_label_is_found_in_path(path, label):
    assert find_label(path) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [("q4-k-m", "Q4_K_M"), ("fp16", "F16"), ("UD_Q4_K_XL", "UD-Q4_K_XL"), ("best", None)],
)
def test_label_is_normalized(text, label):
    assert normalize(text) == label


@pytest.mark.parametrize(
    ("files", "want", "file"),
    [
        (["m-UD-Q5_K_XL.gguf", "m-Q8_0.gguf"], "q5_k_xl", "m-UD-Q5_K_XL.gguf"),
        (["m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"], "Q4_K_M", "m-Q4_K_M.gguf"),
        (["m-Q8_0.gguf", "draft-m-Q4_K_M.gguf"], None, "m-Q8_0.gguf"),
        (["lorablated-Q4_K_M.gguf"], None, "lorablated-Q4_K_M.gguf"),
        (["m-F16.gguf", "m-Q6_K.gguf"], None, "m-Q6_K.gguf"),
        (["m-IQ4_XS.gguf", "m-Q4_0.gguf"], None, "m-IQ4_XS.gguf"),
        (["m-Q4_K_P.gguf", "m-Q4_K_M.gguf"], "q4-k-p", "m-Q4_K_P.gguf"),
        (["m-Q8_K_P.gguf", "m-Q6_K.gguf", "m-Q4_K_P.gguf"], None, "m-Q4_K_P.gguf"),
        (["m-Q4_0_4_4.gguf", "m-Q4_0.gguf"], "Q4_0", "m-Q4_0.gguf"),
        (["m-Q6_K_HIFI.gguf", "m-Q6_K.gguf"], "q6_k_hifi", "m-Q6_K_HIFI.gguf"),
        (["m.i1-Q4_K_M.gguf", "m.Q4_K_M.gguf"], "i1-Q4_K_M", "m.i1-Q4_K_M.gguf"),
        (["m-MTP-Q8_0.gguf", "m-Q8_0.gguf"], "m-mtp-q8_0", "m-MTP-Q8_0.gguf"),
    ],
)
def test_quant_is_chosen(files, want, file):
    assert choose(files, want).file == file


@pytest.mark.parametrize(
    ("files", "want", "reason", "message"),
    [
        (
            {"m-Q8_0.gguf": 8_100_000_000},
            "Q4_0",
            "quant-not-found",
            r"quant Q4_0 not found; .*Q8_0 \(8.1",
        ),
        (["m-Q8_0.gguf"], "best", "quant-not-found", "quant best not found"),
        (["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], None, "ambiguous", "a-Q4_K_M.gguf, b-Q4_K_M"),
        (["README.md"], "Q4_0", "no-gguf", "no GGUF model found"),
        (["m-Q4_0.gguf-split-a", "m-Q4_0.gguf-split-b"], None, "raw-split", "join the parts"),
        (["m-Q4_0-00002-of-00002.gguf"], "Q4_0", "split-incomplete", "only 1 of 2 parts"),
    ],
)
def test_error_has_reason_and_available_models(files, want, reason, message):
    with pytest.raises(ChoiceError, match=message) as caught:
        choose(files, want)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_file_is_found_by_path_or_unique_name():
    files = {"a/m.gguf": 1, "m-00001-of-00002.gguf": 1, "m-00002-of-00002.gguf": 2}
    assert choose(files, file="a/m.gguf").file == "a/m.gguf"
    assert choose(files, file="m.gguf").file == "a/m.gguf"
    whole = choose(files, file="m-00002-of-00002.gguf")
    assert (whole.file, whole.count, whole.size_bytes) == ("m-00001-of-00002.gguf", 2, 3)


@pytest.mark.parametrize(
    ("files", "name", "reason"),
    [
        (["a/m.gguf", "b/m.gguf"], "m.gguf", "ambiguous"),
        (["model-Q4_0.gguf"], "model-Q4_1.gguf", "file-not-found"),
        (["a/m.gguf", "a/M.gguf"], "m.GGUF", "ambiguous"),
        ([], "m.gguf", "file-not-found"),
    ],
)
def test_file_that_cannot_be_chosen_is_rejected(files, name, reason):
    with pytest.raises(ChoiceError) as caught:
        choose(files, file=name)
    assert caught.value.reason == reason


@pytest.mark.parametrize("word", "MTP draft imatrix LoRA adapter vocab eagle3".split())
def test_file_with_companion_word_is_model_unless_better_one_is_beside_it(word):
    names = [f"Acme-9B-{word}-Q4_K_M.gguf", f"acme-9b-{word}-q8_0.gguf", "mmproj-Acme-BF16.gguf"]
    assert choose(names).file == names[0]
    assert choose(names, "q8_0").file == names[1]
    assert choose([*names, "Acme-9B-Q6_K.gguf"]).file == "Acme-9B-Q6_K.gguf"
    assert choose([*names, "Acme-9B-Q4_K_M.gguf"], "Q4_K_M").file == "Acme-9B-Q4_K_M.gguf"
    assert choose([f"{word}.gguf", "mmproj.gguf"]).file == f"{word}.gguf"
    assert choose([f"{word}-Q4_K_M.gguf", "m-Q2_K.gguf"], "Q2_K").file == "m-Q2_K.gguf"


@pytest.mark.parametrize("name", ["draft-Q4_K_M", "mtp-m-Q4_K_M", "m-LoRA-Q4_0", "imatrix"])
def test_companion_is_not_chosen_beside_model_of_any_quant(name):
    assert choose([f"{name}.gguf", "m-Q2_K.gguf"]).file == "m-Q2_K.gguf"


@pytest.mark.parametrize("word", ["MTP", "imatrix"])
def test_variant_of_model_is_chosen_by_its_quant(word):
    names = [f"Acme-9B-{word}-Q4_K_M.gguf", "Acme-9B-Q8_0.gguf", f"{word}.gguf"]
    assert choose(names).file == "Acme-9B-Q8_0.gguf"
    assert choose(names, "Q4_K_M").file == names[0]


def test_companion_is_not_chosen_for_its_quant_beside_model():
    with pytest.raises(ChoiceError, match=r"available: draft-Q4_0\.gguf, Q8_0$"):
        choose(["draft-Q4_0.gguf", "m-Q8_0.gguf"], "Q4_0")


@pytest.mark.parametrize(
    "file", ["mmproj-F16.gguf", "draft-Q4_0.gguf", "a/M-imatrix.GGUF", "m-LoRA.gguf"]
)
def test_any_named_file_is_chosen_in_any_case(file):
    files = [file, "m-Q4_K_M.gguf", "a/m-Q8_0.gguf"]
    for name in (file, file.lower(), file.upper(), file.upper().rpartition("/")[2]):
        assert choose(files, file=name).file == file


def test_exact_name_takes_precedence_over_other_case():
    assert choose(["M.gguf", "m.gguf"], file="m.gguf").file == "m.gguf"


def test_error_formats_sizes():
    sizes = {"m-Q4_K_M.gguf": 98_400_000, "m-Q8_0.gguf": 2_700_000_000}
    with pytest.raises(ChoiceError, match=r"Q4_K_M \(98\.4 MB\), Q8_0 \(2\.7 GB\)"):
        choose(sizes, "Q6_K")


def test_error_suggests_similar_file():
    with pytest.raises(
        ChoiceError, match=r"^file model-Q8.gguf not found.*did you mean 'model-Q8_0.gguf'\?"
    ):
        choose(["model-Q8_0.gguf"], file="model-Q8.gguf")
