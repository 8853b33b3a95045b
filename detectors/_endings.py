"""Know which endings of file names are everyday, and which nobody gives to a document."""

from typing import Final

import polars as pl

# What offices, builds, installers, archives and backups write by the hundred.
_ORDINARY: Final = (
    "7z bak bkf bkp bz2 cab gz iso jar lz4 rar tar tgz vbk vib vhd vhdx xz zip zst "
    "avi bmp gif heic ico jpeg jpg m4a mov mp3 mp4 pdf png psd svg tif tiff wav webp "
    "csv db dbf ldf mdf trn doc docm docx dotx eml html htm json log md msg odt ods one "
    "ost ppt pptx pst rtf "
    "sqlite txt url xls xlsm xlsx xml yaml yml ini cfg conf dat lnk tmp temp part crdownload "
    "asm bat c cc class cpp cs css cmd cmake dll exe go h hpp inc java js jsx lib map mjs msi mui "
    "nls node o obj pdb php pl pm po mo properties ps1 psd1 psm1 py pyc pyd pyi pyx rb resx rs "
    "scss sh so sql sys ts tsx ttf ttc otf vb vbs woff woff2 wasm xaml xsd xsl "
    "cat inf manifest mum etl evtx pf cache blob bin pak idx pack ldb sst sig asc pem crt "
    "cer config nupkg whl egg dmp diff patch old new swp wal journal aux sbstore search-ms"
)
ORDINARY: Final = frozenset(_ORDINARY.split())


def is_unusual(name: str) -> pl.Expr:
    """Tell whether a column holds an ending, in small letters, that no usual program writes.

    >>> pl.DataFrame({"e": ["pdf", "qzk9", "001"]}).select(is_unusual("e"))["e"].to_list()
    [False, True, False]
    """
    # Numbers and dates at the end are counters of logs.
    counter = pl.col(name).str.contains(r"^(?:\d+|~.*|[a-z]\d\d)$")
    return ~pl.col(name).is_in(list(ORDINARY)) & ~counter
