"""Preparation: what its stages change is what the settings ask for, and all of it is in the report."""

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from hand_bundle import write_hand_bundle
from shelfwise.errors import UsageError
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.baselines import compare
from shelfwise_indexer.cli_evaluate import evaluate
from shelfwise_indexer.cross_validation import cross_validate
from shelfwise_indexer.preparation import (
    PreparationSettings,
    TrainingError,
    check_fields,
    groups_of,
    parts,
    prepare,
    read_labelled,
    warn_unknown,
    write_stages,
)
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.stages import duplicates_found, missing_values
from shelfwise_indexer.training import train

FIELDS = ("title",)
COLOURS = ("red", "blue", "green", "black", "white", "golden", "purple", "turquoise")


@pytest.fixture
def labelled(tmp_path):
    rows = [{"title": f"{colour} mug", "category": ["Kitchen", "Mugs"]} for colour in COLOURS]
    rows += [{"title": f"{colour} kettle", "category": ["Kitchen", "kettles"]} for colour in COLOURS]
    rows += [{"title": "copper kettle", "category": ["Kitchen", "Kettles"]}]
    rows += [
        {"title": "tall lamp", "category": ["Home", "Home", "Lamps"]},
        {"title": "<b>Red</b> mug", "category": ["Gifts"]},
    ]
    rows += [{"title": "unfiled"}]
    return read_labelled(write(tmp_path / "catalogue.jsonl", rows))


def write(file: Path, rows) -> Path:
    file.write_bytes(b"\n".join(orjson.dumps({"id": number, **row}) for number, row in enumerate(rows)))
    return file


def paths(products):
    return {path for product in products for path in product.categories}


def test_by_default_both_parts_are_those_without_any_stage(labelled):
    prepared = prepare(labelled, None, FIELDS, 1)
    train, held_back = parts(labelled, None, FIELDS, 1)
    assert (list(prepared.train), list(prepared.held_back)) == (list(train), list(held_back))
    assert "rare_categories" not in prepared.stages


def test_a_category_that_is_only_a_second_one_is_trained_on(tmp_path):
    rows = [{"title": f"{colour} mug", "categories": [["Mugs"], [f"In {colour}"]]} for colour in COLOURS]
    rows += [{"title": f"{colour} jug", "category": ["Mugs"]} for colour in COLOURS]
    labelled = read_labelled(write(tmp_path / "c.jsonl", rows))
    for seed in range(5):
        prepared = prepare(labelled, None, FIELDS, seed)
        assert paths(prepared.train) == paths(labelled.products)
        assert prepared.held_back


def test_a_further_category_that_no_training_product_has_is_said(capsys):
    held_back = [Product("p1", "mug", categories=(("Mugs",), ("Gifts", "For him")))]
    warn_unknown(held_back, Taxonomy.of([("Mugs",)]))
    assert "the first is Gifts > For him of p1" in capsys.readouterr().err


def test_the_report_has_every_stage_with_counts_and_examples(labelled, tmp_path):
    write_stages(tmp_path / "report", prepare(labelled, None, FIELDS, 0).stages)
    report = orjson.loads((tmp_path / "report" / "preparation.json").read_bytes())
    assert list(report) == ["unlabelled", "rejected", "cleaning", "missing", "duplicates", "conflicts"]
    assert report["unlabelled"] == 1
    assert report["cleaning"]["stages"]["markup"]["examples"][0]["after"] == "Red mug"
    assert report["duplicates"]["exact"]["examples"][0]["ids"] == ["0", "18"]
    [conflict] = report["conflicts"]["found"]
    assert (conflict["text"], conflict["labels"]) == ("red mug", ["Kitchen > Mugs", "Gifts"])


def test_spellings_and_repeated_levels_are_merged_where_asked(labelled):
    settings = PreparationSettings(merge_spellings=True, skip_repeated_levels=True)
    prepared = prepare(labelled, None, FIELDS, 0, settings)
    found = paths([*prepared.train, *prepared.held_back])
    assert found == {("Kitchen", "Mugs"), ("Kitchen", "kettles"), ("Home", "Lamps"), ("Gifts",)}
    assert prepared.stages["spellings"]["moves"] == [
        {"from": "Kitchen > Kettles", "to": "Kitchen > kettles", "products": 1}
    ]
    assert prepared.stages["repeated_levels"]["categories"] == 1


def test_rare_categories_go_into_their_parents_and_the_report_and_stderr_say_so(labelled, capsys):
    prepared = prepare(labelled, None, FIELDS, 0, PreparationSettings(rare_below=2))
    assert paths(prepared.train) == {("Kitchen", "Mugs"), ("Kitchen", "kettles"), ("Kitchen",), ("Home",), ("Gifts",)}
    assert [move["to"] for move in prepared.stages["rare_categories"]["moves"]] == ["Home", "Kitchen"]
    assert "rare categories: 2 categories of 2 products were merged" in capsys.readouterr().err


def test_merging_holds_for_a_validation_file_too(labelled, tmp_path):
    validation = write(tmp_path / "validation.jsonl", [{"title": "old lamp", "category": ["Home", "Home", "Lamps"]}])
    prepared = prepare(labelled, validation, FIELDS, 0, PreparationSettings(rare_below=2))
    assert paths(prepared.held_back) == {("Home",)}
    assert len(prepared.train) == len(labelled.products)


def test_a_spelling_that_only_a_validation_file_has_is_merged(labelled, tmp_path):
    validation = write(tmp_path / "validation.jsonl", [{"title": "old jug", "category": ["KITCHEN", "MUGS"]}])
    prepared = prepare(labelled, validation, FIELDS, 0, PreparationSettings(merge_spellings=True))
    assert paths(prepared.held_back) == {("Kitchen", "Mugs")}
    assert prepared.stages["spellings"]["held_back_only"] == ["KITCHEN > MUGS"]


def test_a_category_that_only_a_validation_file_has_is_lifted_as_rare_ones_are(labelled, tmp_path, capsys):
    rows = [{"title": "child's cup", "category": ["Kitchen", "Mugs", "Small"]}]
    validation = write(tmp_path / "validation.jsonl", rows)
    prepared = prepare(labelled, validation, FIELDS, 0, PreparationSettings(rare_below=2))
    assert paths(prepared.held_back) == {("Kitchen", "Mugs")}
    assert "1 of them in the held-back part alone" in capsys.readouterr().err
    unmerged = prepare(labelled, validation, FIELDS, 0)
    assert paths(unmerged.held_back) == {("Kitchen", "Mugs", "Small")}


def test_products_of_a_validation_file_that_training_has_are_said_and_stay(labelled, tmp_path, capsys):
    rows = [
        {"id": "5", "title": "quite another thing", "category": ["Kitchen", "Mugs"]},
        {"id": "v1", "title": "<i>Blue</i> mug!", "category": ["Kitchen", "Mugs"]},
        {"id": "v2", "title": "porcelain egg cup", "category": ["Kitchen", "Mugs"]},
    ]
    validation = write(tmp_path / "validation.jsonl", rows)
    prepared = prepare(labelled, validation, FIELDS, 0)
    told = capsys.readouterr().err
    assert f"2 of the 3 products of {validation} are in the training part too (1 by id, 1 as variants or" in told
    assert "the first: 5, v1 (like 1)" in told
    assert prepared.stages["validation"] == {
        "products": 3,
        "in_training": 2,
        "same_id": 1,
        "variant_or_near_duplicate": 1,
        "same_catalogue": False,
        "examples": [{"id": "5", "like": "5"}, {"id": "v1", "like": "1"}],
    }
    assert (len(prepared.train), len(prepared.held_back)) == (len(labelled.products), 3)


def test_the_very_catalogue_as_its_own_validation_is_said(labelled, tmp_path, capsys):
    prepared = prepare(labelled, tmp_path / "catalogue.jsonl", FIELDS, 0)
    told = capsys.readouterr().err
    assert "holds the very products of the catalogue that is trained on: the scores flatter" in told
    assert prepared.stages["validation"]["same_catalogue"]


def test_a_validation_file_of_other_products_is_not_complained_about(labelled, tmp_path, capsys):
    validation = write(tmp_path / "v.jsonl", [{"id": "v", "title": "egg cup", "category": ["Kitchen", "Mugs"]}])
    assert prepare(labelled, validation, FIELDS, 0).stages["validation"]["in_training"] == 0
    assert "in the training part" not in capsys.readouterr().err
    assert "validation" not in prepare(labelled, None, FIELDS, 0).stages


def test_titles_are_the_same_whatever_markup_and_encoding_they_are_in():
    titles = ["<b>Café</b> mug &amp; lid", "Café mug & lid", "CafÃ© mug &amp; lid", "kettle"]
    products = [Product(str(row), title, f"other words {row * 7919}") for row, title in enumerate(titles)]
    assert groups_of(products, ("title", "description")).tolist() == [0, 0, 0, 1]


def test_categories_that_a_policy_leaves_no_product_in_are_named(labelled, capsys):
    prepared = prepare(labelled, None, FIELDS, 0, PreparationSettings(conflicts="drop"))
    assert prepared.stages["conflicts"]["gone"] == ["Gifts"]
    assert (
        'conflicts = "drop" leaves no product in 1 categories, which are not learnt: Gifts' in capsys.readouterr().err
    )
    assert prepare(labelled, None, FIELDS, 0).stages["conflicts"]["gone"] == []


def test_rejected_lines_of_a_validation_file_are_kept(labelled, tmp_path):
    validation = write(tmp_path / "validation.jsonl", [{"title": "lamp", "category": "Home"}, {"title": ""}])
    assert [one.line for one in prepare(labelled, validation, FIELDS, 0).rejected] == [2]


def test_conflicts_may_be_dropped(labelled):
    prepared = prepare(labelled, None, FIELDS, 0, PreparationSettings(conflicts="drop"))
    assert prepared.stages["conflicts"]["changed"] == ["0", "18"]
    assert not {"0", "18"} & {product.id for product in [*prepared.train, *prepared.held_back]}


def test_dropping_everything_is_refused(tmp_path):
    rows = [{"title": "mug", "category": ["A"]}, {"title": "Mug", "category": ["B"]}]
    with pytest.raises(TrainingError, match="leaves none"):
        prepare(
            read_labelled(write(tmp_path / "c.jsonl", rows)), None, FIELDS, 0, PreparationSettings(conflicts="drop")
        )


def test_a_misspelt_text_field_names_the_closest_one_and_a_field_that_is_empty_is_none():
    products = [Product("1", "mug"), Product("2", "pan", attributes={"colour": "red"})]
    check_fields(products, ("title", "description", "brand", "colour"))
    with pytest.raises(UsageError, match=r"text field descripton is no field .*: did you mean description\?"):
        check_fields(products, ("title", "descripton"))
    with pytest.raises(UsageError, match=r"did you mean colour\?"):
        check_fields(products, ("color",))
    with pytest.raises(UsageError, match="name fields or attributes that products have"):
        check_fields(products, ("zzz",))


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(UsageError, match="keep, majority, drop"):
        PreparationSettings(conflicts="vote")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 or more"):
        PreparationSettings(rare_below=-1)


@pytest.mark.parametrize("name", ["category", "categories"])
def test_what_is_to_be_predicted_is_not_read(name):
    with pytest.raises(UsageError, match=f"text field {name} is what is to be predicted"):
        check_fields([Product("1", "mug", categories=(("Mugs",),))], ("title", name))


def test_missing_values_are_counted_by_field_with_their_share():
    products = [
        Product("1", "mug", brand="Öko", attributes={"colour": "red"}),
        Product("2", "pan", brand="<br>", attributes={"colour": ""}),
        Product("3", "pot", price=0.0),
        Product("4", "lid", in_stock=False),
    ]
    fields = missing_values(products)["fields"]
    assert fields["brand"] == {"missing": 3, "share": 0.75}
    assert fields["colour"] == {"missing": 3, "share": 0.75}
    assert (fields["price"]["missing"], fields["in_stock"]["missing"]) == (3, 3)  # 0 and "no" are values
    assert fields["description"]["share"] == 1.0
    assert missing_values([])["products"] == 0


def test_a_field_that_is_an_attribute_too_is_missing_once():
    product = Product("1", "mug", brand="Öko", attributes={"brand": "Öko"})
    assert missing_values([product, Product("2", "pan")])["fields"]["brand"] == {"missing": 1, "share": 0.5}


def test_duplicates_are_counted_as_exact_or_near():
    bottle = "stainless steel insulated water bottle with straw lid and handle"
    titles = ["Mug", "mug!", bottle, bottle + " leak", bottle, "Pan"]
    found = duplicates_found([Product(str(row), title) for row, title in enumerate(titles)], FIELDS)
    assert (found["exact"]["groups"], found["exact"]["products"]) == (1, 2)
    assert found["near"] == {
        "groups": 1,
        "products": 3,
        "examples": [{"ids": ["2", "3", "4"], "texts": [bottle, bottle + " leak"], "products": 3}],
    }


@pytest.fixture
def all_rejected(tmp_path):
    (tmp_path / "dear.csv").write_text("id,title,price,category\n1,Mug,dear,Mugs\n2,Kettle,dear,Kettles\n")
    return tmp_path / "dear.csv"


def evaluated(catalogue, folder):
    write_hand_bundle(folder / "bundle", {"mug": (1.0,)}, [("Mugs",)])
    arguments = ["classifier", str(catalogue), "--bundle", str(folder / "bundle"), "--out", str(folder / "page")]
    raise CliRunner().invoke(evaluate, arguments).exception


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(lambda catalogue, folder: train(catalogue, folder / "b", settings=TrainSettings()), id="train"),
        pytest.param(lambda catalogue, _: compare(catalogue), id="baselines"),
        pytest.param(lambda catalogue, folder: cross_validate(catalogue, folder / "work"), id="cross-validate"),
        pytest.param(evaluated, id="classifier"),
        pytest.param(
            lambda catalogue, folder: prepare(
                read_labelled(write(folder / "c.jsonl", [{"title": "mug", "category": "Mugs"}])), catalogue, FIELDS, 0
            ),
            id="validation",
        ),
    ],
)
def test_a_catalogue_whose_lines_were_all_rejected_is_not_said_to_lack_categories(wanted, all_rejected, tmp_path):
    with pytest.raises(TrainingError) as caught:
        wanted(all_rejected, tmp_path)
    said = str(caught.value)
    assert "dear.csv: all 2 lines were rejected, nothing can be" in said
    assert said.endswith("mend them, the first is line 2: product 1: price must be a number, got 'dear'")
    assert "no product carries" not in said
