"""The light of a picture: each palette is an hour of the day and the few colours that go with it."""

from __future__ import annotations

from dataclasses import dataclass

from scenes.canvas import Color, mix, rgb


@dataclass(frozen=True)
class Palette:
    """The few colours one picture is made of."""

    time: str
    sky: tuple[Color, Color]
    walls: tuple[Color, ...]
    ground: tuple[Color, Color]
    leaf: Color
    water: Color
    lamp: Color
    clothes: tuple[Color, ...]
    ambient: Color
    strength: float

    def lit(self, color: Color) -> Color:
        """A colour as it looks under this light."""
        return mix(color, self.ambient, self.strength)

    def far(self, color: Color, t: float) -> Color:
        """A colour seen through t of air."""
        return mix(color, self.sky[1], t)


def _palette(
    time: str,
    sky: str,
    walls: str,
    ground: str,
    leaf: str,
    water: str,
    lamp: str,
    clothes: str,
    ambient: str,
    strength: float,
) -> Palette:
    def many(text: str) -> tuple[Color, ...]:
        return tuple(rgb("#" + part) for part in text.split())

    a, b = many(sky)
    g, d = many(ground)
    return Palette(
        time,
        (a, b),
        many(walls),
        (g, d),
        many(leaf)[0],
        many(water)[0],
        many(lamp)[0],
        many(clothes),
        many(ambient)[0],
        strength,
    )


PALETTES = (
    _palette(
        "day",
        "8CCBD8 F8EBD0",
        "E9B48C F2D6B3 CF8B6E F7E3C4",
        "DCC9AC C7AF90",
        "5E9478",
        "79B7BE",
        "FFE9A8",
        "E4572E F2B134 2E86AB F7F3E9 7A4E7E 3F7A5E",
        "F7D9B0",
        0.05,
    ),
    _palette(
        "day",
        "5FB0E6 DDF1F7",
        "F4C6A0 E8906A BCD6D2 F6E4CC",
        "C9CCC9 AEB4B4",
        "66A566",
        "5D9FC4",
        "FFF0B8",
        "F25F5C FFE066 247BA0 70C1B3 FFFFFF 50514F",
        "E6F2F7",
        0.04,
    ),
    _palette(
        "day",
        "F3B9B0 FDEFDC",
        "D9918A F0C9B4 B98A8F F8DDC8",
        "E5CDB8 CDAF9C",
        "7C9A72",
        "9CBFC0",
        "FFEFC4",
        "C8553D F28F3B 588B8B FFD5C2 2D3047 E9C46A",
        "FBD9C4",
        0.08,
    ),
    _palette(
        "day",
        "A4B8C4 E9E9E0",
        "B8A99A D5C7B4 8D99A6 E3D9C6",
        "B9BDBB 9CA3A4",
        "6F8F7A",
        "8AA5B0",
        "FFEDB5",
        "D1495B EDAE49 00798C F5F1E3 30638E 66A182",
        "D5DDE0",
        0.08,
    ),
    _palette(
        "day",
        "6CC3B5 F4F2C9",
        "F6C667 F08A5D B9D7B0 FBE8C0",
        "D8CFA6 C2B788",
        "4E9B6E",
        "6DB8B4",
        "FFF1B0",
        "B83B5E F9ED69 3D84A8 F4F4F4 6A2C70 46CDCF",
        "F3F0C2",
        0.05,
    ),
    _palette(
        "dusk",
        "4A4E8F F7A880",
        "8B5A78 B8737F 6C4C78 D48C7E",
        "A77B88 8A6178",
        "5A5C70",
        "8E6F94",
        "FFD98A",
        "E76F51 F4A261 2A9D8F F6E7D8 B5477B E9C46A",
        "D87F72",
        0.15,
    ),
    _palette(
        "dusk",
        "6A3F7E FF9A6B",
        "7C4674 A55470 5B3A6E D66F6B",
        "96607A 784B6C",
        "554A68",
        "84527E",
        "FFE08F",
        "FF6B6B FFD166 3EA6A0 FBEEDD 8E5BA6 F7A072",
        "C8626C",
        0.16,
    ),
    _palette(
        "dusk",
        "C96F5C FCD694",
        "A8645A C9845F 85525C E5A873",
        "B98C6D 98705E",
        "6E6B4C",
        "B98A74",
        "FFE6A0",
        "D1495B F3C969 3B7A8C FFF1DC 7D3F5C 4F7A5B",
        "E09A63",
        0.14,
    ),
    _palette(
        "dusk",
        "2F5D86 F9C9A6",
        "5F6F8F 8C8AA0 4B5A7E B59AA0",
        "8D8C9A 70748A",
        "4E6A6C",
        "5F83A0",
        "FFDD95",
        "EF8354 F6D186 3C91A6 F3EEE6 9B5C8F 6FA287",
        "A98F98",
        0.15,
    ),
    _palette(
        "night",
        "0F1D42 3F5F92",
        "2B4070 35507F 233562 456092",
        "3B4F7A 2C3E68",
        "24506A",
        "26457A",
        "FFD77A",
        "EF6F51 F5C35B 3FA7B8 EDEBE6 A765A8 69B08A",
        "27406F",
        0.20,
    ),
    _palette(
        "night",
        "0A2A33 2F6B70",
        "1F4A54 2B5E64 183C48 3A7274",
        "2F5A60 234850",
        "1D5248",
        "1F5560",
        "FFE08A",
        "F2765A F7CF6B 4FB0C6 F1EEE2 B0709F 8CC08A",
        "1E4A55",
        0.20,
    ),
    _palette(
        "night",
        "1D1638 6A4A7E",
        "40305F 543C70 34274F 6A4C84",
        "4A3A68 392C56",
        "36406A",
        "3E376E",
        "FFC98A",
        "FF7F5C F8C66A 4FA3B8 F3E9E6 C26AA0 7FB89A",
        "3C2D5C",
        0.20,
    ),
)
