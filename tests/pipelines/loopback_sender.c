/* Send COUNT datagrams of SIZE bytes to 127.0.0.1:PORT at RATE a second, in batches. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 32

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int port = atoi(argv[1]), size = atoi(argv[4]);
    long count = atol(argv[2]), sent = 0;
    double rate = atof(argv[3]);
    static char body[65536];
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    if (connect(s, (struct sockaddr *)&to, sizeof to)) return 1;
    struct iovec piece = {body, size};
    struct mmsghdr batch[BATCH];
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < BATCH; i++) batch[i].msg_hdr.msg_iov = &piece, batch[i].msg_hdr.msg_iovlen = 1;
    double begun = now_s();
    while (sent < count) {
        long due = (now_s() - begun) * rate + BATCH;
        if (sent + BATCH > due) {
            struct timespec nap = {0, 200000};
            nanosleep(&nap, 0);
            continue;
        }
        int done = sendmmsg(s, batch, count - sent < BATCH ? count - sent : BATCH, 0);
        if (done > 0) sent += done;
    }
    printf("%ld %.6f\n", sent, now_s() - begun);
    return 0;
}
