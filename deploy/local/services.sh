#!/usr/bin/env bash
# Apache Kafka and PostgreSQL with TimescaleDB on loopback, without Docker: for development and CI.
#
#   services.sh start    fetch what is missing, start both, wait until they answer
#   services.sh stop     orderly shutdown; the data stay
#   services.sh status   exit 0 when both answer
#   services.sh env      shell exports: eval "$(deploy/local/services.sh env)"
#   services.sh reset    stop, and drop the data; the binaries stay
#
# Everything lies in .services/ of the project, or in INOPSIO_SERVICES_DIR. One service alone:
# deploy/local/kafka.sh and deploy/local/timescaledb.sh take the same words.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export INOPSIO_SERVICES_DIR=${INOPSIO_SERVICES_DIR:-$HERE/../../.services}
CMD=${1:-help}

case $CMD in
    start)
        mkdir -p "$INOPSIO_SERVICES_DIR"
        chmod a+x "$INOPSIO_SERVICES_DIR"
        "$HERE/kafka.sh" start & kafka=$!
        "$HERE/timescaledb.sh" start & timescaledb=$!
        failed=0
        wait $kafka || failed=1
        wait $timescaledb || failed=1
        exit $failed ;;
    stop|status|env|reset)
        failed=0
        "$HERE/kafka.sh" "$CMD" || failed=$?
        "$HERE/timescaledb.sh" "$CMD" || failed=$?
        exit $failed ;;
    *)  sed -n '2,/^set -e/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'; exit 2 ;;
esac
