"""Facts of the colour photo sets: classes, sizes, official files and where these come from.

`SOURCES` in registry.py holds those that can be fetched; the course sets have no official address.
An MD5 sum guards against damage and mix-ups, not against an attacker.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PhotoSource:
    """A set of square colour photos. `files` are the official ones, as (name, MD5), in `folder`.

    `size` in pixels; `counts` of the official (train, test) images; `archive` is the (address, MD5)
    of the official archive, None for a set without one.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    size: int
    counts: tuple[int, int]
    licence: str
    folder: str = ""
    files: tuple[tuple[str, str], ...] = ()
    archive: tuple[str, str] | None = None
    embedded_alternative: str = "shapes"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CIFAR10 = PhotoSource(
    name="cifar10",
    title="CIFAR-10 (Krizhevsky, Nair, Hinton 2009)",
    classes=_words("airplane automobile bird cat deer dog frog horse ship truck"),
    size=32,
    counts=(50_000, 10_000),
    licence="no licence file published",
    folder="cifar-10-batches-py",
    files=(
        ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        ("data_batch_4", "634d18415352ddfa80567beed471001a"),
        ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ("test_batch", "40351d587109b95175f43aff81a1287e"),
    ),
    archive=(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
    ),
)

CIFAR100 = PhotoSource(
    name="cifar100",
    title="CIFAR-100 (Krizhevsky, Nair, Hinton 2009)",
    classes=_words(
        """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
        crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
        keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
        mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
        plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
        television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
        worm"""
    ),
    size=32,
    counts=(50_000, 10_000),
    licence="no licence file published",
    folder="cifar-100-python",
    files=(
        ("train", "16019d7e3df5f24257cddd939b257f8d"),
        ("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
    ),
    archive=(
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
    ),
)

STL10 = PhotoSource(
    name="stl10",
    title="STL-10 (Coates, Lee, Ng 2011), labelled part",
    classes=_words("airplane bird car cat deer dog horse monkey ship truck"),
    size=96,
    counts=(5_000, 8_000),
    licence="images from ImageNet; no licence file published",
    folder="stl10_binary",
    files=(
        ("train_X.bin", "918c2871b30a85fa023e0c44e0bee87f"),
        ("train_y.bin", "5a34089d4802c674881badbb80307741"),
        ("test_X.bin", "7f263ba9f9e0b06b93213547f721ac82"),
        ("test_y.bin", "36f9794fa4beb8a2c72628de14fa638e"),
    ),
    archive=(
        "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        "91f7769df0f17e558f3565bffb0c7dfb",
    ),
)

INTEL_SCENES = PhotoSource(
    name="intel_scenes96",
    title="Intel Image Classification (natural scenes), a part, 96 pixels",
    classes=_words("buildings forest glacier mountain sea street"),
    size=96,
    counts=(9_000, 2_698),
    licence="no licence file published",
    embedded_alternative="shapes96",
)

NATURAL_IMAGES = PhotoSource(
    name="natural_images96",
    title="Natural Images (Roy and others 2018), 96 pixels",
    classes=_words("airplane car cat dog flower fruit motorbike person"),
    size=96,
    counts=(5_520, 1_034),
    licence="no licence file published",
    embedded_alternative="shapes96",
)

CALTECH101 = PhotoSource(
    name="caltech101_96",
    title="Caltech-101 (Fei-Fei, Fergus, Perona 2004) without background, 96 pixels",
    classes=_words(
        """Faces Faces_easy Leopards Motorbikes accordion airplanes anchor ant barrel bass beaver
        binocular bonsai brain brontosaurus buddha butterfly camera cannon car_side ceiling_fan
        cellphone chair chandelier cougar_body cougar_face crab crayfish crocodile crocodile_head
        cup dalmatian dollar_bill dolphin dragonfly electric_guitar elephant emu euphonium ewer
        ferry flamingo flamingo_head garfield gerenuk gramophone grand_piano hawksbill headphone
        hedgehog helicopter ibis inline_skate joshua_tree kangaroo ketch lamp laptop llama lobster
        lotus mandolin mayfly menorah metronome minaret nautilus octopus okapi pagoda panda pigeon
        pizza platypus pyramid revolver rhino rooster saxophone schooner scissors scorpion sea_horse
        snoopy soccer_ball stapler starfish stegosaurus stop_sign strawberry sunflower tick
        trilobite umbrella watch water_lilly wheelchair wild_cat windsor_chair wrench
        yin_yang"""
    ),
    size=96,
    counts=(5_784, 2_604),
    licence="no licence file published",
    embedded_alternative="shapes96",
)

PHOTO_SOURCES = (CIFAR10, CIFAR100, STL10)
COURSE_SOURCES = (INTEL_SCENES, NATURAL_IMAGES, CALTECH101)
