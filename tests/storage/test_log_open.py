from contextlib import closing
from pathlib import Path

from storage.log import Record
from storage.log.kafka import KafkaLog
from storage.log.open import open_log
from storage.settings import Settings


def test_the_settings_name_the_place_and_the_partitions(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "house", partitions=3)
    with closing(open_log(settings)) as log:
        log.append("t", [Record(b"a", b"1")])
        assert log.topics() == {"t": 3}
    assert (tmp_path / "house" / "log.sqlite").is_file()


def test_an_address_of_kafka_chooses_kafka_and_nothing_is_connected_yet(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "house", log_url="kafka://127.0.0.1:9")
    with closing(open_log(settings)) as log:
        assert isinstance(log, KafkaLog)
    assert not (tmp_path / "house").exists()
