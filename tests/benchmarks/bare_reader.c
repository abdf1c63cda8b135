/* The least that any client pays: sockets, epoll, a read and a stamp, in C. A yardstick for benchmarks of the load client only.
 *
 *   bare_reader PORT STREAMS REQUESTS TOKENS
 *
 * It keeps STREAMS requests to 127.0.0.1:PORT open until REQUESTS are answered, each on a socket of its own, and stamps every read. It
 * decodes nothing, counts nothing and keeps no byte: it only looks for the end of a chunked reply. So no client that reads each
 * stream's tokens as they come can cost less than this on the same machine. One JSON line: cpu and wall in seconds, tokens, failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FILES 65536

static struct sockaddr_in address;
static int look, begun, ended, failed, requests;
static char ask[1024];
static int asked;
static double *stamps; /* of the reads; written in turn, read by nobody */
static long reads;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double used(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void begin(void) {
    if (begun == requests) return;
    begun++;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (void *)&address, sizeof address) || send(fd, ask, asked, MSG_NOSIGNAL) != asked) {
        perror("bare_reader");
        exit(1);
    }
    struct epoll_event mine = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(look, EPOLL_CTL_ADD, fd, &mine);
}

int main(int count, char **words) {
    static char buffer[262144];
    struct epoll_event ready[512];
    if (count != 5) { fprintf(stderr, "bare_reader PORT STREAMS REQUESTS TOKENS\n"); return 2; }
    int streams = atoi(words[2]), tokens = atoi(words[4]);
    requests = atoi(words[3]);
    char body[128];
    int length = sprintf(body, "{\"prompt\":[1],\"stream\":true,\"max_tokens\":%d}", tokens);
    asked = sprintf(ask, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
                    length, body);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(words[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    look = epoll_create1(0);
    stamps = calloc(1 << 16, sizeof *stamps);
    double cpu = used(), wall = now();
    for (int i = 0; i < streams; i++) begin();
    while (ended < requests) {
        int n = epoll_wait(look, ready, 512, 10000);
        if (n == 0) break; /* ten seconds without a byte */
        for (int i = 0; i < n; i++) {
            ssize_t got = recv(ready[i].data.fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            stamps[reads++ & 65535] = now();
            int whole = got >= 5 && !memcmp(buffer + got - 5, "0\r\n\r\n", 5);
            if (got > 0 && !whole) continue;
            ended++, failed += !whole;
            close(ready[i].data.fd);
            begin();
        }
    }
    wall = now() - wall, cpu = used() - cpu;
    failed += requests - ended;
    printf("{\"cpu\": %.6f, \"wall\": %.6f, \"tokens\": %ld, \"failed\": %d}\n", cpu, wall,
           (long)(requests - failed) * tokens, failed);
    return 0;
}
