#!/usr/bin/env bash
# Apache Kafka (KRaft: one node, broker and controller) on 127.0.0.1, from Maven artifacts, JDK 17+.
#
#   kafka.sh start|stop|status|env|reset    as services.sh has them
#
# Listeners: plain (PORT, everybody may do everything), controller (PORT + 1), TLS with SASL PLAIN,
# SCRAM or OAUTHBEARER (PORT + 2; user "admin", password in the file admin-password, CA in ca.pem;
# others may do what an ACL grants them). OAUTHBEARER takes unsigned tokens: never beyond loopback.
#
# Settings (environment): INOPSIO_SERVICES_DIR; KAFKA_PORT (19092, the next free one if it is taken),
# KAFKA_HEAP (512m), KAFKA_VERSION, KAFKA_ADVERTISED (address that clients are told, behind a proxy).
set -euo pipefail
umask 022
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HOME_DIR=${INOPSIO_SERVICES_DIR:-$HERE/../../.services}
mkdir -p "$HOME_DIR/kafka"
DIR=$(cd "$HOME_DIR/kafka" && pwd)
CMD=${1:-help}
HEAP=${KAFKA_HEAP:-512m}
LIB=$DIR/lib${KAFKA_VERSION:+-$KAFKA_VERSION}
PIDFILE=$DIR/pid
LOG=$DIR/kafka.log
DATA=$DIR/data
PORTFILE=$DIR/port
PASSWORD=$DIR/admin-password
TLS=$DIR/tls
PORT=$(cat "$PORTFILE" 2>/dev/null || echo "${KAFKA_PORT:-19092}")

say() { echo "kafka.sh: $*" >&2; }
die() { say "$*"; exit 1; }
java_() { "${JAVA_HOME:+$JAVA_HOME/bin/}java" "$@"; }
# By its words: the number alone may be another program's by now, or a dead process nobody fetched.
alive() {
    [ -s "$PIDFILE" ] && { tr '\0' ' ' < "/proc/$(cat "$PIDFILE")/cmdline"; } 2>/dev/null \
        | grep -q "kafka.Kafka $DIR/"
}
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# The line is written when all listeners take requests; the port opens a little earlier.
answers() { listens "$PORT" && grep -q 'Kafka Server started' "$LOG" 2>/dev/null; }

fetch() {
    [ -e "$LIB/.ready" ] && return 0
    command -v mvn >/dev/null || die "needs Maven"
    local v
    v=$(java_ -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | sed -n 1p)
    [ "${v:-0}" -ge 17 ] || die "Kafka 4 needs Java 17 or newer, found ${v:-none}"
    say "fetching Kafka by Maven"
    rm -rf "$LIB"
    mvn -B -q -Dmaven.artifact.threads=16 -f "$HERE/kafka-pom.xml" ${KAFKA_VERSION:+-Dkafka.version=$KAFKA_VERSION} \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$LIB" \
        >"$DIR/mvn.log" 2>&1 || { tail -15 "$DIR/mvn.log" >&2; die "Maven could not fetch it"; }
    touch "$LIB/.ready"
}

free_port() {
    local p
    for p in "$PORT" $(seq 19192 100 20992); do
        if ! listens "$p" && ! listens $((p + 1)) && ! listens $((p + 2)); then
            PORT=$p
            echo "$p" > "$PORTFILE"
            return 0
        fi
    done
    die "no three free ports in a row from $PORT on"
}

secrets() {
    [ -s "$PASSWORD" ] || (umask 077; od -An -N18 -tx1 /dev/urandom | tr -d ' \n' > "$PASSWORD")
    [ -s "$TLS/broker.pem" ] && return 0
    command -v openssl >/dev/null || die "needs openssl for the TLS listener's certificate"
    rm -rf "$TLS"; mkdir -p "$TLS"; chmod 700 "$TLS"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=Inopsio local services" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
        -keyout "$TLS/ca.key" -out "$TLS/ca.pem" >/dev/null 2>&1
    openssl req -newkey rsa:2048 -nodes -subj "/CN=127.0.0.1" \
        -keyout "$TLS/broker.key" -out "$TLS/broker.csr" >/dev/null 2>&1
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n' > "$TLS/names"
    openssl x509 -req -days 3650 -in "$TLS/broker.csr" -CA "$TLS/ca.pem" -CAkey "$TLS/ca.key" \
        -CAcreateserial -extfile "$TLS/names" -out "$TLS/broker.crt" >/dev/null 2>&1
    cat "$TLS/broker.key" "$TLS/broker.crt" "$TLS/ca.pem" > "$TLS/broker.pem"
    chmod 600 "$TLS"/*
    cp "$TLS/ca.pem" "$DIR/ca.pem"; chmod 644 "$DIR/ca.pem"
}

configure() {
    local tls=$((PORT + 2)) controller=$((PORT + 1)) login=org.apache.kafka.common.security
    (umask 077; cat > "$DIR/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$controller,TLS://127.0.0.1:$tls
advertised.listeners=PLAINTEXT://${KAFKA_ADVERTISED:-127.0.0.1:$PORT},TLS://127.0.0.1:$tls
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SASL_SSL
listener.name.tls.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.tls.plain.sasl.jaas.config=$login.plain.PlainLoginModule required user_admin="$(cat "$PASSWORD")";
listener.name.tls.scram-sha-256.sasl.jaas.config=$login.scram.ScramLoginModule required;
listener.name.tls.scram-sha-512.sasl.jaas.config=$login.scram.ScramLoginModule required;
listener.name.tls.oauthbearer.sasl.jaas.config=$login.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location=$TLS/broker.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
allow.everyone.if.no.acl.found=false
auto.create.topics.enable=false
log.dirs=$DATA
num.partitions=4
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
log.retention.hours=24
log.segment.bytes=134217728
P
    )
    cat > "$DIR/log4j2.xml" <<'P'
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d %p %m (%c{1})%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
P
}

format() {
    [ -s "$DATA/meta.properties" ] && return 0
    mkdir -p "$DATA"
    # A cluster id is 16 random bytes in URL-safe base64 that does not begin with "-".
    local id=-
    while [ "${id#-}" != "$id" ]; do
        id=$(head -c16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
    done
    java_ -Xmx256m "-Dlog4j2.configurationFile=$DIR/log4j2.xml" -cp "$LIB/*" kafka.tools.StorageTool \
        format --cluster-id "$id" --config "$DIR/server.properties" --ignore-formatted \
        --add-scram "SCRAM-SHA-256=[name=admin,password=$(cat "$PASSWORD")]" \
        --add-scram "SCRAM-SHA-512=[name=admin,password=$(cat "$PASSWORD")]" \
        >"$DIR/format.log" 2>&1 || { tail -15 "$DIR/format.log" >&2; die "formatting the storage failed"; }
}

start() {
    if alive && answers; then say "already running on 127.0.0.1:$PORT"; return 0; fi
    if ! alive; then
        fetch
        free_port
        secrets
        configure
        format
        : > "$LOG"
        # In a session of its own: an interrupt of whoever starts it must not end it.
        setsid nohup "${JAVA_HOME:+$JAVA_HOME/bin/}java" -server "-Xms$HEAP" "-Xmx$HEAP" -XX:+UseG1GC \
            -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError \
            -Djava.awt.headless=true "-Dkafka.logs.dir=$DIR" \
            "-Dlog4j2.configurationFile=$DIR/log4j2.xml" \
            -cp "$LIB/*" kafka.Kafka "$DIR/server.properties" >>"$LOG" 2>&1 </dev/null &
        echo $! > "$PIDFILE"
    fi
    local _
    for _ in $(seq 1 180); do
        alive || { tail -20 "$LOG" >&2; rm -f "$PIDFILE"; die "the broker ended"; }
        answers && { say "Kafka on 127.0.0.1:$PORT"; return 0; }
        sleep 0.5
    done
    tail -20 "$LOG" >&2
    die "no answer after 90 s"
}

stop() {
    alive || { say "not running"; rm -f "$PIDFILE"; return 0; }
    local pid _
    pid=$(cat "$PIDFILE")
    kill -TERM "$pid"
    for _ in $(seq 1 120); do
        alive || { rm -f "$PIDFILE"; say stopped; return 0; }
        sleep 0.5
    done
    die "still shutting down (pid $pid)"
}

case $CMD in
    start)  start ;;
    stop)   stop ;;
    status) if alive && answers; then echo "Kafka runs on 127.0.0.1:$PORT"
            else echo "Kafka is stopped"; exit 3; fi ;;
    env)    [ -s "$PORTFILE" ] || die "start it first"
            echo "export INOPSIO_LOG_URL=kafka://127.0.0.1:$PORT" ;;
    reset)  stop; rm -rf "$DATA" ;;
    *)      sed -n '2,/^set -e/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'; exit 2 ;;
esac
