"""List the words that the company's names are made of."""

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST: Final = _words("""
    Aaron Ada Alina Amir Ana Andrea Anja Anton Arne Asta Ben Bianca Birgit Bruno Carla Carmen
    Chiara Clara Colin Dana Daniel David Dilan Dora Edda Elias Elif Emil Emma Erik Esra Eva
    Fabian Farid Felix Finn Frida Georg Gina Greta Hanna Hannes Hasan Helen Henrik Ida Ines
    Irina Ivan Jana Jannik Jonas Judith Jule Kai Karim Karin Katja Klara Kora Lars Laura Lea
    Leon Lina Linus Lisa Lukas Maja Malte Mara Marco Maria Marta Max Mehmet Mia Mila Mina Moritz
    Nadia Nele Nico Nina Nora Olga Omar Oskar Paul Paula Petra Pia Rafael Rahel Rita Robin Rosa
    Ruben Samir Sara Selma Silke Simon Sofia Sven Tamara Theo Thea Till Tim Timo Tom Ulla Uwe
    Vera Viktor Wanda Yara
""")
LAST: Final = _words("""
    Abel Adler Albers Arnold Bach Bauer Beck Behrens Berger Binder Blum Bosch Brandt Braun Busch
    Conrad Dietz Dorn Ebert Eder Egger Engel Ernst Falk Fiedler Fink Fischer Frank Franke Fuchs
    Geiger Graf Gross Haas Hahn Hartmann Heinz Henning Hermann Herzog Hoffmann Horn Huber Jacobs
    Jansen Jung Kaiser Keller Kern Kessler Klein Koch Kramer Kraus Kruse Kuhn Lang Lehmann Lenz
    Lindner Lorenz Ludwig Maier Marx Mayer Menzel Metz Moser Naumann Neumann Noll Otto Peters
    Pohl Raabe Radke Reich Reuter Richter Ritter Roth Sander Sauer Schenk Scholz Schreiber
    Schuster Seidel Simon Sommer Stark Stein Storm Thiel Thomas Ulrich Unger Vogel Vogt Wagner
    Walter Weber Weiss Wendt Winkler Winter Wirth Wolf Zander Ziegler Zimmer
""")
TRADE: Final = _words("""
    Alster Amber Apex Arbor Argon Atlas Balder Baltic Beacon Boreal Borough Brick Cedar Cinder
    Clover Cobalt Copper Coral Crest Dorado Drift Elbe Ember Ensign Fabric Falcon Fjord Garnet
    Gable Granite Harbor Hazel Helix Hollow Indigo Isar Ivory Jasper Juniper Kestrel Lagoon
    Linden Lumen Maple Marble Meadow Mistral Nimbus Nordic Oakley Onyx Opal Orchid Osprey Pebble
    Pinnacle Polar Prism Quarry Quartz Raven Ridge Rowan Sable Saffron Sierra Silver Slate
    Solent Spruce Summit Tandem Teal Timber Topaz Trident Umber Valley Vector Velvet Vertex
    Willow Yarrow Zephyr
""")
LINE: Final = _words("""
    Electronics Logistics Metals Tools Optics Print Energy Office Chemicals Freight Sensors
    Cables Catering Cleaning Plastics Software Packaging Castings Bearings Security Travel
    Laboratories
""")
STREETS: Final = _words("""
    Hafen Ring Mühlen Linden Garten Bahnhof Wald See Markt Schul Kirch Berg
""")
TOWNS: Final = _words("""
    Kiel Bremen Kassel Ulm Erfurt Mainz Jena Trier Passau Hagen Siegen Celle
""")
FORM: Final = ("GmbH", "AG", "KG", "Ltd", "BV", "SARL", "Srl", "AB")
ITEMS: Final = (
    "Pressure Gauge",
    "Flow Meter",
    "Level Probe",
    "Torque Sensor",
    "Data Logger",
    "Thermal Camera",
    "Gas Analyser",
    "Load Cell",
    "pH Electrode",
    "Vibration Monitor",
)
COUNTRIES: Final = ("FR", "NL", "AT", "CH", "IT", "ES", "PL", "GB", "SE", "US", "CZ", "DK")
FAR: Final = ("NG", "RO", "VN", "BR", "ID", "UA", "TR", "KZ", "MA", "PK")
