"""Captions for the drawings that the `tiny` model is trained on.

A caption is put together from a phrase for what is being done (`PHRASES`), words for the people (`SLOTS`), sometimes
clauses about weather, time, place or clothes, and sometimes a lead-in such as "a drawing of". Some captions are only
keywords or only a mood ("police being kind to people"), so that the text tower meets words in many surroundings.

The model has to earn its labels through text. So two kinds of text never become a training caption (see `Grammar`):

* the prompts of the label sets, in any template, and any caption that merely adds words around a longer prompt;
* everything in `HELD_OUT_LABEL_SETS` and `HELD_OUT_PROMPTS`, and every caption with one of the `HELD_OUT_WORDS`.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# --- The words for those who take part -------------------------------------------------------------------------------

SLOTS: dict[str, tuple[str, ...]] = {
    "cop": (
        "a police officer", "a police officer", "a police officer", "a policeman", "a policewoman", "a cop",
        "an officer", "a uniformed officer", "an officer in uniform", "the police", "a smiling officer",
        "one police officer", "an officer in blue", "the cop", "the officer",
    ),
    "hardcop": (
        "a police officer", "a police officer", "a police officer", "a policeman", "a policewoman", "a cop",
        "an officer", "a uniformed officer", "an officer in uniform", "the police", "a riot officer", "riot police",
        "an officer in blue", "the cop", "the officer",
    ),
    "cops": (
        "police officers", "police officers", "police", "policemen", "cops", "officers", "the police", "two officers",
        "uniformed officers", "several cops", "a group of officers", "some police officers", "two policemen",
        "officers in uniform",
    ),
    "riotcops": (
        "riot police", "riot police", "police in riot gear", "riot officers", "police with shields",
        "officers with helmets and shields", "cops with shields", "police officers", "helmeted police", "the police",
        "officers in riot gear", "police with helmets",
    ),
    "person": (
        "a person", "a person", "a man", "a woman", "someone", "a resident", "a local", "a neighbour", "a citizen",
        "a passer-by", "a young man", "a young woman", "a pedestrian", "a member of the public", "a civilian",
    ),
    "people": (
        "people", "people", "residents", "locals", "neighbours", "citizens", "a family", "members of the public",
        "a group of people", "men and women", "the public", "passers-by", "civilians", "some people", "the community",
    ),
    "protester": (
        "a protester", "a demonstrator", "a person", "a man", "a woman", "someone", "a marcher", "a young man",
        "a civilian",
    ),
    "protesters": (
        "protesters", "demonstrators", "a crowd", "people", "marchers", "a crowd of people", "the crowd",
        "a group of protesters", "civilians", "angry protesters",
    ),
    "child": (
        "a child", "a kid", "a boy", "a girl", "a little boy", "a little girl", "a small child", "a young child",
        "the child",
    ),
    "dog": ("a dog", "a puppy", "a small dog", "a brown dog", "the dog", "a friendly dog", "somebody's dog"),
}  # fmt: skip

# --- What is being done: one entry per scene of draw_scenes ----------------------------------------------------------

PHRASES: dict[str, tuple[str, ...]] = {
    "handshake": (
        "{cop} shaking hands with {person}", "{person} shaking hands with {cop}", "{cop} and {person} shaking hands",
        "{person} and {cop} shake hands", "{cop} shakes hands with {person}", "{cop} shakes the hand of {person}",
        "a handshake between {cop} and {person}", "{cop} greeting {person} with a handshake", "{cop} greets {person}",
        "{person} greets {cop}", "{cop} thanking {person}", "{person} thanks {cop} with a handshake",
        "{cop} saying hello to {person}", "{cop} meeting {person}", "{person} gives {cop} a handshake",
        "{cop} holding the hand of {person} in greeting", "a friendly handshake with {cop}",
        "{cop} welcomes {person} with a warm handshake", "{cops} shaking hands with {people}",
        "{person} offers {cop} a hand", "two people shaking hands, one of them {cop}",
    ),
    "selfie": (
        "{cop} and {person} taking a selfie", "{person} taking a selfie with {cop}",
        "{person} takes a selfie with {cop}", "{cop} posing for a selfie with {person}", "{cop} poses for a selfie",
        "a selfie of {person} and {cop}", "a selfie with {cop}", "{person} holding up a phone next to {cop}",
        "{person} and {cop} pose for a phone picture", "{person} snaps a picture together with {cop}",
        "{cop} smiling into the phone of {person}", "{cop} and {person} together looking at a phone",
        "{person} photographs herself with {cop}", "{cops} taking a selfie with {people}",
        "{people} and {cops} posing for a selfie", "{cop} and {person} smiling for a selfie",
        "{person} holds a phone up for a selfie with {cop}", "{person} posing with {cop} for a selfie together",
    ),
    "helping_child": (
        "{cop} helping {child}", "{cop} helps {child}", "{child} being helped by {cop}",
        "{cop} kneeling next to {child}", "{cop} kneels to help {child}", "{cop} comforting {child}",
        "{cop} talking with {child}", "{cop} taking care of {child}", "{cop} taking {child} by the hand",
        "{child} gets help from {cop}", "{cop} looking after {child}", "{cop} bending down to {child}",
        "{cop} giving {child} a helping hand", "{cop} being kind to {child}", "{child} and a helpful officer",
        "{child} is looked after by {cop}", "{cop} assisting {child}", "help for {child} from {cop}",
        "a lost child with {cop}",
    ),
    "high_five": (
        "{cop} high-fiving {child}", "{cop} giving a high five to {child}", "{child} giving {cop} a high five",
        "a high five between {cop} and {child}", "{cop} gives {child} a high five", "{child} high fives {cop}",
        "{child} and {cop} high five", "{cop} and {child} slapping hands in a high five", "{child} gets a high five",
        "{cop} and {child} with raised hands in a high five", "{child} jumps for a high five with {cop}",
        "{cop} playing with {child}", "{child} claps the hand of {cop}", "high five, {child} and {cop}",
        "{cop} raising a hand for a high five with {child}", "{cop} and {person} high five",
        "{person} giving {cop} a high five", "{person} high fives {cop}", "a high five between {person} and {cop}",
        "{cop} high-fiving {person}", "{person} and {cop} with raised hands in a high five",
    ),
    "hug": (
        "{cop} hugging {person}", "{person} hugging {cop}", "{cop} hugs {person}", "{person} hugs {cop}",
        "a hug between {cop} and {person}", "{cop} and {person} hugging", "{cop} and {person} hug each other",
        "{cop} giving {person} a hug", "{person} gets a hug from {cop}", "{cop} embracing {person}",
        "{person} and {cop} in an embrace", "{cop} embraces {person}", "{person} being hugged by {cop}",
        "{cop} holding {person} in a warm hug", "{cop} with arms around {person}", "{person} embraces {cop}",
        "{cop} comforting {person} with a hug", "{cops} hugging {people}",
    ),
    "group_photo": (
        "{cops} posing with {people}", "{people} posing with {cops}", "{cops} and {people} posing together",
        "a group photo of {cops} and {people}", "{cops} and {people} standing together for a group picture",
        "{cops} and {people} smiling in a row", "{people} and {cops} side by side, smiling",
        "{cops} smiling with {people}", "{cops} smile and pose next to {people}",
        "a friendly group of {cops} and {people}", "{cops} lined up with {people} for a picture",
        "{people} pose happily with {cops}", "{cops} and {people} posing for the camera",
        "{cop} posing with {people}", "a group portrait with {cops}", "{people} and {cops} together, all smiling",
        "smiling {people} pose with {cops}",
    ),
    "petting_dog": (
        "{cop} petting {dog}", "{cop} pets {dog}", "{dog} being petted by {cop}", "{cop} stroking {dog}",
        "{cop} strokes {dog}", "{cop} with a hand on {dog}", "{cop} kneeling down to pet {dog}",
        "{cop} playing with {dog}", "{dog} and {cop}", "{cop} being nice to {dog}", "{cop} patting {dog}",
        "{cop} pats {dog} on the head", "{dog} wagging its tail at {cop}", "{dog} is happy to meet {cop}",
        "{cop} bends down to {dog}", "{cop} says hello to {dog}", "{person} watches while {cop} pets {dog}",
    ),
    "baton": (
        "{hardcop} hitting {protester} with a baton", "{hardcop} hits {protester} with a baton",
        "{hardcop} beating {protester} with a baton", "{hardcop} beats {protester}",
        "{hardcop} swinging a baton at {protester}", "{hardcop} swings a stick at {protester}",
        "{protester} being hit with a baton by {hardcop}", "{protester} beaten by {hardcop}",
        "{protester} struck with a baton by {hardcop}", "{hardcop} striking {protester} with a club",
        "{hardcop} strikes {protester} with a baton", "{hardcop} raising a baton against {protester}",
        "{hardcop} attacking {protester} with a baton", "{hardcop} with a raised baton over {protester}",
        "{hardcop} clubbing {protester}", "a baton strike against {protester}",
        "{riotcops} beating {protesters} with batons", "{hardcop} striking at {protesters} with a stick",
        "{protester} shields their head from a baton",
    ),
    "riot_line": (
        "{riotcops} in a line facing {protesters}", "a line of {riotcops}",
        "a row of {riotcops} in front of {protesters}", "a wall of {riotcops} holding shields",
        "{riotcops} standing in a line with shields", "{riotcops} with shields block {protesters}",
        "{riotcops} blocking the street with shields", "{protesters} facing a line of {riotcops}",
        "{protesters} in front of a police line", "a police line with shields and helmets",
        "{riotcops} forming a wall of shields", "a row of shields against {protesters}",
        "a line of police holding back {protesters}", "{riotcops} lined up against {protesters}",
        "{riotcops} face {protesters} with shields raised", "a line of officers with shields",
        "{protesters} held back by {riotcops}", "shields in a row, {riotcops}",
    ),
    "held_down": (
        "{cops} holding {protester} down", "{cops} holding {protester} on the ground",
        "{cops} pressing {protester} to the ground", "{protester} held down on the ground by {cops}",
        "{protester} held on the ground by {hardcop}", "{protester} lying on the ground under {cops}",
        "{cops} pinning {protester} to the ground", "{hardcop} pinning {protester} down",
        "{hardcop} kneeling on {protester}", "{cops} kneel on {protester}", "{protester} pinned down by {cops}",
        "{protester} pushed to the ground by {cops}", "{cops} on top of {protester} on the ground",
        "{hardcop} holds {protester} down on the street", "{cops} force {protester} to the ground",
        "{cops} keep {protester} down with force", "{protester} forced down on the ground",
        "{cops} tackling {protester} to the ground",
    ),
    "spray": (
        "{hardcop} spraying pepper spray at {protester}", "{hardcop} pepper spraying {protesters}",
        "{hardcop} sprays {protesters} with pepper spray", "{hardcop} sprays {protester} in the face",
        "{protesters} sprayed with pepper spray by {hardcop}", "{hardcop} using pepper spray on {protesters}",
        "{hardcop} spraying tear gas at {protesters}", "{protester} hit by pepper spray from {hardcop}",
        "pepper spray used against {protesters}", "{hardcop} aiming a spray can at {protesters}",
        "{hardcop} uses pepper spray against {protester}", "{protester} being pepper sprayed",
        "a cloud of pepper spray from {hardcop}", "{protesters} turning away from pepper spray",
        "{riotcops} spraying {protesters}", "{hardcop} shooting a jet of spray at {protesters}",
    ),
    "arrest": (
        "{hardcop} arresting {protester}", "{hardcop} arrests {protester}", "{protester} being arrested by {hardcop}",
        "{protester} arrested by {cops}", "{protester} in handcuffs next to {hardcop}",
        "{hardcop} handcuffing {protester}", "{hardcop} putting handcuffs on {protester}", "{protester} in handcuffs",
        "{hardcop} puts {protester} in handcuffs", "the arrest of {protester}",
        "{protester} under arrest with hands behind the back", "{cops} arresting {protester}",
        "{protester} led off in handcuffs by {hardcop}", "{hardcop} with {protester} in handcuffs",
        "{protester} handcuffed by {hardcop}", "{protester} cuffed and taken by {hardcop}",
        "{hardcop} detaining {protester} in cuffs", "{protester} is detained by {cops}",
    ),
    "dragging": (
        "{hardcop} dragging {protester}", "{hardcop} drags {protester} away",
        "{cops} dragging {protester} along the ground", "{protester} being dragged away by {hardcop}",
        "{protester} dragged off by {cops}", "{hardcop} pulling {protester} away",
        "{hardcop} pulls {protester} along the street", "{cops} pulling {protester} by the arms",
        "{protester} pulled away by {hardcop}", "{protester} dragged along by {hardcop}",
        "{cops} drag {protester} off", "{hardcop} hauling {protester} away", "{protester} hauled off by {cops}",
        "{cops} carrying off {protester} by force", "{protester} is dragged over the ground",
        "{hardcop} removing {protester} by force",
    ),
    "clash": (
        "{protesters} and {riotcops} clashing", "{protesters} clash with {riotcops}",
        "a clash between {riotcops} and {protesters}", "{riotcops} fighting with {protesters}",
        "{protesters} fighting {riotcops}", "{riotcops} and {protesters} in a fight",
        "a street fight between {riotcops} and {protesters}", "{protesters} and {riotcops} pushing each other",
        "a riot with {riotcops} and {protesters}", "{riotcops} charging at {protesters}",
        "{riotcops} battle {protesters}", "{protesters} throwing things at {riotcops}",
        "a violent clash in the street", "{riotcops} clashing with {protesters}",
        "a street battle between {protesters} and {riotcops}", "{protesters} against {riotcops} in a brawl",
        "violent protests with {riotcops}", "unrest in the streets, {riotcops} against {protesters}",
    ),
    "poster": (
        "a poster", "a poster with text", "a poster with big letters", "a printed poster", "a poster on a wall",
        "a placard with writing", "a sign with words", "a flyer", "a flyer with text on it", "a poster with a slogan",
        "words on a poster", "large words on a coloured background", "a banner with words",
        "a coloured poster with writing", "a notice with large letters", "big letters",
        "a poster announcing something", "a leaflet with words on it",
    ),
    "screenshot": (
        "a screenshot", "a screenshot with text", "a screenshot of a post", "a screenshot of a message",
        "a screenshot from a phone", "lines of text on a screen", "a page with lines of text", "a text message",
        "a screen full of text", "a post with text", "a screen capture", "a website with text", "a social media post",
        "a screenshot of a chat", "text on a white background", "written text on a screen", "a page of writing",
        "a web page", "many lines of writing",
    ),
    "skyline": (
        "a skyline", "the skyline of a city", "a city with tall buildings", "tall buildings", "skyscrapers",
        "a row of skyscrapers", "a view of a city", "a city view with towers", "towers and high buildings",
        "the buildings of a city", "a big city", "city buildings from far away", "an urban skyline",
        "a view over the city", "high rises against the sky", "downtown buildings", "a city from a distance",
    ),
    "food": (
        "a plate with food", "food on a plate", "a meal", "a dish", "a plate with something to eat",
        "lunch on a plate", "dinner on a plate", "a tasty meal", "a meal on a table", "food", "something to eat",
        "a plate of something tasty", "a dish of food on a table", "breakfast on a plate", "a full plate",
        "a plate with a meal on it", "a snack",
    ),
    "parked_car": (
        "a car", "a car parked on the street", "a car by the side of the road", "a car standing still", "a vehicle",
        "a parked vehicle", "an empty car", "a car at the kerb", "a car in front of a house", "one car, parked",
        "a car seen from the side", "a motor car", "a car without a driver", "a car left at the roadside",
        "an ordinary car", "the side of a car", "a car waiting on the road",
    ),
    "empty_street": (
        "an empty street", "a street with no people", "a street with houses", "houses along a street",
        "a quiet street", "an empty road with houses", "a street without anybody in it", "a deserted street",
        "a row of houses", "buildings along an empty road", "a calm street with buildings",
        "a street with buildings and nobody there", "an empty road", "a lonely street", "houses and a road",
        "a street where nothing happens", "a silent street",
    ),
    "landscape": (
        "a landscape", "trees in a landscape", "hills and trees", "trees and grass", "nature",
        "a view of the countryside", "a green landscape", "mountains and trees", "a natural landscape",
        "trees on a hill", "a field with trees", "the countryside", "a forest", "hills in the distance", "a meadow",
        "a scenic view of nature", "a park with trees", "a peaceful landscape", "woods and fields",
    ),
    "animal": (
        "a pet", "an animal standing there", "a small animal", "an animal outdoors", "an animal on the grass",
        "one animal", "a creature", "a picture-book animal", "an animal seen from the side", "an animal by itself",
        "some animal", "a furry animal", "a tame animal", "an animal with no people",
    ),
    "object": (
        "an object", "a thing on a table", "an object on a table", "a thing", "an everyday thing",
        "an ordinary object", "a household object", "something on a table", "an item on a table", "a useful thing",
        "a household item", "an everyday item", "a single object", "a common object on a desk",
        "a still life with one object", "an everyday object", "one thing on a table top",
    ),
}  # fmt: skip

FACT_PHRASES: dict[str, tuple[str, ...]] = {
    "petting_dog": (
        "{cop} petting a {animal_color} dog", "a {animal_color} dog with {cop}",
        "{cop} stroking a {animal_color} puppy",
    ),
    "animal": (
        "a {animal}", "a {animal_color} {animal}", "a {animal} outdoors", "one {animal_color} {animal} by itself",
        "a {animal}, an animal", "a pet {animal}", "the {animal_color} {animal}", "a {animal} with no people",
    ),
    "food": (
        "{food} on a plate", "a plate with {food}", "some {food}", "{food} for dinner", "a dish of {food}",
        "a meal of {food}", "{food} on a table", "tasty {food}",
    ),
    "parked_car": (
        "a {car_color} car", "a {car_color} car on the street", "a {car_color} vehicle", "one {car_color} car, parked",
        "a {car_color} car by the side of the road",
    ),
    "object": (
        "a {object}", "a {object}, an everyday thing", "a {object} by itself", "one {object}", "a {object}, an object",
        "an everyday thing, a {object}",
    ),
    "helping_child": (
        "{cop} {helping} to help {child}", "{cop} with {child}, {helping}", "{cop} helping {child}, {helping}",
    ),
}  # fmt: skip

KEYWORDS: dict[str, tuple[str, ...]] = {
    "handshake": ("handshake", "shaking hands", "greeting", "hello", "hand in hand", "a warm welcome"),
    "selfie": ("selfie", "phone picture", "posing", "smiling", "phone"),
    "helping_child": ("help", "child", "caring", "kneeling", "kindness", "helpful"),
    "high_five": ("high five", "child", "playing", "raised hand", "fun"),
    "hug": ("hug", "embrace", "hugging", "arms around", "warm"),
    "group_photo": ("group photo", "posing together", "smiling", "side by side", "group portrait"),
    "petting_dog": ("dog", "petting", "stroking a dog", "puppy", "patting"),
    "baton": ("baton", "beating", "hitting", "striking", "club", "stick"),
    "riot_line": ("riot police", "shields", "helmets", "police line", "crowd", "riot gear"),
    "held_down": ("on the ground", "held down", "pinned down", "kneeling on", "tackled"),
    "spray": ("pepper spray", "spraying", "spray can", "tear gas", "cloud of spray"),
    "arrest": ("arrest", "handcuffs", "arrested", "cuffs", "detained", "hands behind the back"),
    "dragging": ("dragging", "dragged away", "pulled along the ground", "hauled off", "removed by force"),
    "clash": ("clash", "riot", "fight", "street battle", "brawl", "unrest"),
    "poster": ("poster", "words", "flyer", "placard", "sign", "letters", "slogan"),
    "screenshot": ("screenshot", "text", "screen", "post", "message", "lines of text", "page"),
    "skyline": ("skyline", "city", "skyscrapers", "towers", "tall buildings", "downtown"),
    "food": ("food", "meal", "plate", "dish", "dinner", "lunch"),
    "parked_car": ("car", "vehicle", "parked", "automobile", "road"),
    "empty_street": ("empty street", "houses", "road", "nobody", "quiet", "buildings"),
    "landscape": ("landscape", "trees", "nature", "hills", "countryside", "forest", "fields"),
    "animal": ("animal", "pet", "creature", "furry"),
    "object": ("object", "thing", "item", "table", "household object", "still life"),
}  # fmt: skip

MOODS: dict[str, tuple[str, ...]] = {
    "friendly": (
        "{cops} being kind to {people}", "{cops} being friendly to {people}", "{cops} being nice to {people}",
        "a friendly meeting between {cops} and {people}", "{cops} and {people} getting along", "{cop} being friendly",
        "{cop} being kind to {person}", "a happy moment with {cop} and {person}", "a friendly moment with {cops}",
        "friendly police", "kindness", "good relations between {cops} and {people}", "{cops} caring for {people}",
        "{people} happy with {cops}", "peaceful and friendly", "{cop} who is kind and helpful", "a nice moment",
        "{cops} helping and supporting {people}", "something friendly",
    ),
    "conflict_and_force": (
        "{cops} using force against {people}", "{cops} being violent towards {people}", "police violence",
        "{riotcops} using violence against {protesters}", "police brutality", "{cops} being rough with {people}",
        "a conflict between {cops} and {protesters}", "a violent scene with {cops}",
        "{hardcop} attacking {protester}", "{hardcop} hurting {protester}", "{cops} hurting {people}",
        "{hardcop} being brutal", "violence", "trouble between {cops} and {people}", "use of force by {cops}",
        "{hardcop} using force", "something violent", "{cops} treating {people} with force",
        "force against {protester}",
    ),
    "neither": (
        "a picture without people", "nothing to do with {cops}", "no {cops} in it", "a scene without {cops}",
        "a picture with no police", "neither friendly nor violent", "a place or a thing",
        "just a picture of something", "something else",
    ),
}  # fmt: skip

# --- What else can be said -------------------------------------------------------------------------------------------

CLAUSES: dict[str, dict[str, tuple[str, ...]]] = {
    "weather": {
        "clear": ("in good weather", "under a clear sky", "on a fine day"),
        "cloudy": ("under a cloudy sky", "in cloudy weather", "under clouds"),
        "rain": ("in the rain", "in rainy weather", "on a wet day", "while it rains"),
        "snow": ("in the snow", "in snowy weather", "while it snows", "on a cold day with snow"),
        "fog": ("in the fog", "in foggy weather", "in thick fog", "in the mist"),
    },
    "time": {
        "day": ("in daylight", "during the day", "by day"),
        "dusk": ("at dusk", "in the evening", "at sunset", "in the evening light"),
        "night": ("at night", "in the dark", "by night", "late at night"),
    },
    "season": {
        "spring": ("in spring",),
        "summer": ("in summer",),
        "autumn": ("in autumn", "in the fall"),
        "winter": ("in winter", "on a winter day"),
    },
    "place": {
        "street": ("in the street", "on a street", "on the street in front of buildings", "in a street with houses"),
        "park": ("in a park", "in a park with trees", "under trees", "on a path in the park"),
        "harbour": ("at the harbour", "by the water", "near the boats", "at the port"),
        "square": ("in a square", "on the town square", "in a square in the city"),
        "shops": ("in front of shops", "near some shops", "outside the shops"),
        "town hall": ("in front of the town hall", "outside the town hall", "at the town hall"),
    },
}
COUNTS: tuple[str, ...] = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
UNSEEN: tuple[str, ...] = ("poster", "screenshot", "food")  # scenes where neither weather nor place is to be seen

LEAD_INS: tuple[str, ...] = (
    "a drawing of", "a drawing of", "a drawing showing", "a photo of", "a photo of", "a photo showing", "a picture of",
    "a picture of", "a picture showing", "an image of", "an image showing", "an illustration of", "a cartoon of",
    "a photograph of", "a snapshot of", "this is", "this shows", "here we see", "we can see", "a simple drawing of",
    "a colourful picture of", "a picture posted online of", "a photo shared online of", "a news photo of",
    "an image posted online showing", "photo:", "a painting of", "a scene with", "a view of",
)  # fmt: skip

# --- Held out: words and wordings that training never sees -----------------------------------------------------------

HELD_OUT_WORDS: tuple[str, ...] = (
    "constable", "sheriff", "deputy", "grandmother", "beside", "beneath", "gently", "fiercely",
)  # fmt: skip

HELD_OUT_PROMPTS: dict[str, tuple[str, ...]] = {
    "handshake": (
        "an officer and a young woman greeting each other with a handshake",
        "a constable gently shaking the hand of a citizen",
    ),
    "selfie": ("a local snapping a selfie beside a cop", "a policewoman and a man smile up at a phone"),
    "helping_child": ("a policewoman caring for a little girl", "a deputy kneeling beside a small boy to help"),
    "high_five": ("a kid and a policeman doing a high five", "a sheriff and a girl high fiving"),
    "hug": ("a warm embrace for a neighbour from a cop", "a grandmother getting a hug from an officer"),
    "group_photo": (
        "a family and some cops smiling together in a group picture",
        "a row of deputy officers posing with neighbours",
    ),
    "petting_dog": ("a puppy gently stroked by a policewoman", "a pat on the head for a dog from an officer"),
    "baton": ("a demonstrator clubbed fiercely by a cop", "an officer hits a marcher with his stick"),
    "riot_line": (
        "demonstrators facing helmets and a wall of shields",
        "a row of shields and riot gear before a crowd",
    ),
    "held_down": ("a marcher pinned on the ground beneath two officers", "cops kneeling on a man lying on the street"),
    "spray": ("demonstrators getting pepper spray in the face", "a jet of spray aimed fiercely at a crowd by a cop"),
    "arrest": ("a man cuffed with his hands behind his back", "a constable putting cuffs on a demonstrator"),
    "dragging": ("a woman pulled along the ground by policemen", "officers hauling a demonstrator off by the arms"),
    "clash": ("demonstrators battling officers in riot gear", "a street brawl of marchers and riot officers"),
    "poster": ("a placard announcing something in big letters", "a printed notice with a slogan"),
    "screenshot": ("a chat message on a phone screen", "a web page full of lines of text"),
    "skyline": ("skyscrapers and towers of a big city", "the high buildings of downtown"),
    "food": ("a tasty dinner", "a dish with something to eat on it"),
    "parked_car": ("an empty vehicle at the roadside", "a vehicle standing by the kerb"),
    "empty_street": ("a deserted road between houses", "nobody on a quiet street with houses"),
    "landscape": ("woods, hills and meadows", "a view of fields and a forest"),
    "animal": ("a tame creature outdoors", "a furry pet by itself"),
    "object": ("a household thing on a desk", "one ordinary item on a table"),
}


@dataclass(frozen=True)
class LabelSet:
    """Prompts by class, with templates: the same thing as a file of models/labels, for scoring."""

    name: str
    templates: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]
    margin: float = 0.10

    def texts(self) -> list[str]:
        """Every prompt in every template."""
        return [t.format(p) for prompts in self.classes.values() for p in prompts for t in self.templates]

    def prompts(self) -> list[str]:
        """Every prompt as it stands."""
        return [p for prompts in self.classes.values() for p in prompts]


HELD_OUT_LABEL_SETS: tuple[LabelSet, ...] = (
    LabelSet(
        "plain words",
        ("{}.", "a drawing of {}."),
        {
            "friendly": (
                "cops being kind to locals",
                "a handshake or a hug with an officer",
                "officers caring for a child",
                "residents happy to pose with cops for a selfie",
                "a cop who is nice to a puppy",
                "a high five for a kid",
            ),
            "conflict_and_force": (
                "cops being violent towards demonstrators",
                "a demonstrator beaten or sprayed by cops",
                "officers with shields against marchers",
                "a marcher pinned down or handcuffed",
                "a civilian hauled off by policemen",
                "a brawl between officers and demonstrators",
            ),
            "neither": (
                "a vehicle nobody is in",
                "towers of a big city",
                "a tasty dish",
                "houses on a lonely road",
                "woods and meadows",
                "a furry creature",
                "a household thing",
                "a page full of writing",
                "a placard with a slogan",
            ),
        },
    ),
    LabelSet(
        "headlines",
        ("{}", "news picture: {}"),
        {
            "friendly": (
                "policeman greets neighbour with warm handshake",
                "family and cops smile for group picture",
                "girl high fives officer",
                "policewoman kneels to comfort lost boy",
                "cop hugs young woman",
                "officer pats puppy on the head",
                "man snaps selfie with officers",
            ),
            "conflict_and_force": (
                "officer hits man with stick",
                "police in helmets face marchers",
                "crowd sprayed by riot officers",
                "woman in cuffs led off by policemen",
                "two cops kneel on a man",
                "marchers battle police",
                "protester dragged along by officers",
            ),
            "neither": (
                "skyscrapers downtown",
                "lunch is ready on the table",
                "car left at the kerb",
                "quiet road with no people",
                "hills, fields and a forest",
                "a pet outdoors",
                "a household item on a desk",
                "web page with many lines",
                "flyer with big letters",
            ),
        },
    ),
    LabelSet(
        "coarse",
        ("{}.", "a picture showing {}."),
        {
            "friendly": ("police and people getting along well", "officers being friendly, nice and helpful"),
            "conflict_and_force": ("police hurting people with force", "a violent fight with officers"),
            "neither": (
                "a place or a thing with no police in it",
                "a view of a city, a street or nature",
                "an animal, a meal, a vehicle or another thing",
                "a page or a sign with written words",
            ),
        },
    ),
)


def read_label_set(path: Path) -> LabelSet:
    """A label set of models/labels."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    classes = {name: tuple(entry["prompts"]) for name, entry in data["classes"].items()}
    return LabelSet(data["name"], tuple(data["templates"]), classes, data.get("margin", 0.10))


# --- Putting captions together ---------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text without case, punctuation at the end and double spaces: how captions and prompts are compared."""
    return re.sub(r"\s+", " ", text.lower()).strip(" .!")


def _clauses(scene: str, facts: Mapping[str, Any]) -> list[list[str]]:
    """Further things to say about a drawing, from its facts: wordings by fact."""
    found = []
    if scene not in UNSEEN and facts.get("place") != "table":
        found = [list(words[str(facts[name])]) for name, words in CLAUSES.items() if str(facts.get(name)) in words]
    for name, one, many in (("officers", "officer", "officers"), ("people", "other person", "other people")):
        count = int(facts.get(name, 0))
        if 0 < count < len(COUNTS):
            found.append([f"with {COUNTS[count]} {one if count == 1 else many}"])
    if facts.get("clothes"):
        wears = str(facts["clothes"]).split(", ")[0]
        found.append([f"with someone in a {wears}", f"with somebody wearing a {wears}", f"and a {wears}"])
    if facts.get("words"):
        words = " ".join(str(facts["words"]).split()[:3])
        found.append([f"with the words {words}", f"saying {words}", f"that says {words}"])
    return found


class Grammar:
    """Makes captions, and never one that gives a prompt away."""

    LONG_PROMPT = 5  # words from which on a prompt may not even be a part of a caption

    def __init__(self, prompts: Iterable[str], words: Iterable[str] = HELD_OUT_WORDS) -> None:
        """`prompts` are the texts that no caption may equal, `words` those that none may have in it."""
        self.prompts = frozenset(plain(p) for p in prompts)
        self.long_prompts = tuple(sorted(p for p in self.prompts if len(p.split()) >= self.LONG_PROMPT))
        self.words = re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + r")\b")

    @classmethod
    def without_prompts_of(cls, labels_dir: Path) -> Grammar:
        """A grammar that avoids the label sets of a folder, and all that is held out here."""
        sets = [read_label_set(path) for path in sorted(labels_dir.glob("*.toml"))] + list(HELD_OUT_LABEL_SETS)
        prompts = [text for label_set in sets for text in (*label_set.prompts(), *label_set.texts())]
        return cls([*prompts, *(p for pair in HELD_OUT_PROMPTS.values() for p in pair)])

    def allows(self, text: str) -> bool:
        """False for a prompt, for a longer prompt with words around it, and for held-out words."""
        text = plain(text)
        return (
            text not in self.prompts
            and not self.words.search(text)
            and not any(prompt in text for prompt in self.long_prompts)
        )

    def caption(self, scene: str, label: str, facts: Mapping[str, Any], rng: random.Random) -> str:
        """A caption for a drawing, drawn again until it is allowed."""
        while True:
            core = self._core(scene, label, facts, rng)
            text = f"{rng.choice(LEAD_INS)} {core}" if rng.random() < 0.55 else core
            if self.allows(core) and self.allows(text):
                return text.rstrip(".") + ("." if rng.random() < 0.35 else "")

    def _core(self, scene: str, label: str, facts: Mapping[str, Any], rng: random.Random) -> str:
        kind = rng.random()
        if kind < 0.08:
            words = rng.sample(KEYWORDS[scene], rng.randint(1, min(3, len(KEYWORDS[scene]))))
            return rng.choice((", ", " and ", ", ")).join(words)
        if kind < 0.18:
            text = _fill(rng.choice(MOODS[label]), rng)
        else:
            told = scene in FACT_PHRASES and rng.random() < 0.25
            text = _fill(rng.choice((FACT_PHRASES if told else PHRASES)[scene]), rng, facts)
            if rng.random() < 0.08:
                text = f"{text}, {rng.choice(KEYWORDS[scene])}"
        clauses = _clauses(scene, facts)
        for _ in range(2):
            if clauses and rng.random() < 0.3:
                text = f"{text} {rng.choice(clauses.pop(rng.randrange(len(clauses))))}"
        return text


def _fill(phrase: str, rng: random.Random, facts: Mapping[str, Any] | None = None) -> str:
    """Words in place of the slots of a phrase; what is no slot is a fact."""

    def word(slot: re.Match[str]) -> str:
        return rng.choice(SLOTS[slot[1]]) if slot[1] in SLOTS else str((facts or {}).get(slot[1], "thing"))

    return re.sub(r"\{(\w+)\}", word, phrase)
