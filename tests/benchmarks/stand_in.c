/* A stand-in for llama-server, for benchmarks of the load client only: it computes nothing and streams made-up tokens at a set rate.
 *
 *   stand_in TOKENS_PER_SECOND [PORT]
 *
 * It prints its port, answers every POST with `max_tokens` events of the shape and size of llama-server's /v1/completions
 * (chunked, one event a write, then the finish with usage, then [DONE]), and closes the connection. As in continuous
 * batching, one step sends one token to every open stream; steps are due at TOKENS_PER_SECOND / streams. It ends on SIGTERM and
 * then says on stderr how much it sent, in how much CPU time, and how many steps were late by more than one step: a rate that it,
 * or a client that does not read, could not keep.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define STREAMS 4096
#define REQUEST 65536

struct stream {
    int fd, left, tokens, got;
    char request[REQUEST];
};
static struct stream *streams[STREAMS];
static int open_streams, places;
static long sent, late, blocked;

static const char *HEAD = "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n";
static const char *REST = "\"created\":1733023456,\"model\":\"stand-in\",\"system_fingerprint\":\"b7150-stand-in\","
                          "\"object\":\"text_completion\",\"id\":\"chatcmpl-Yt0qNnVqKJpd7oPbDe3sOQZcXyWvUuTt\"";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int chunked(char *out, const char *event) { return sprintf(out, "%zx\r\n%s\r\n", strlen(event), event); }

static void push(struct stream *s, const char *bytes, int length) {
    while (length > 0) {
        ssize_t n = send(s->fd, bytes, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) { /* the reader is behind: a server's thread would block here too */
            blocked++;
            int flags = fcntl(s->fd, F_GETFL);
            fcntl(s->fd, F_SETFL, flags & ~O_NONBLOCK);
            continue;
        }
        if (n < 0) { s->left = -1; return; }
        bytes += n, length -= n;
    }
}

static void step(struct stream *s) {
    char event[1024], out[1200];
    if (s->left > 0) {
        sprintf(event, "data: {\"choices\":[{\"text\":\" %05d\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}],%s}\n\n",
                s->left--, REST);
        push(s, out, chunked(out, event));
        sent++;
        return;
    }
    sprintf(event, "data: {\"choices\":[{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"length\"}],%s,"
                   "\"usage\":{\"completion_tokens\":%d,\"prompt_tokens\":1,\"total_tokens\":%d,"
                   "\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n", REST, s->tokens, s->tokens + 1);
    push(s, out, chunked(out, event));
    push(s, out, chunked(out, "data: [DONE]\n\n"));
    push(s, "0\r\n\r\n", 5);
    s->left = -1;
}

static void end(int place) {
    close(streams[place]->fd);
    free(streams[place]);
    streams[place] = NULL;
    open_streams--;
}

/* A whole request is there: how many tokens it asks for; 0: not yet; -1: not one for tokens. */
static int asked(struct stream *s) {
    char *body = memmem(s->request, s->got, "\r\n\r\n", 4), *length, *tokens;
    if (!body) return 0;
    length = strcasestr(s->request, "content-length:");
    if (!length || length > body) return -1;
    if (s->got < body + 4 - s->request + atoi(length + 15)) return 0;
    tokens = strstr(body, "\"max_tokens\":");
    return tokens ? atoi(tokens + 13) : -1;
}

static void hear(int place) {
    struct stream *s = streams[place];
    ssize_t n = recv(s->fd, s->request + s->got, REQUEST - 1 - s->got, 0);
    if (n <= 0) { end(place); return; }
    s->got += n, s->request[s->got] = 0;
    if (s->left) return;
    int tokens = asked(s);
    if (tokens < 0) {
        const char *no = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        push(s, no, strlen(no));
        end(place);
    } else if (tokens > 0) {
        s->left = s->tokens = tokens;
        push(s, HEAD, strlen(HEAD));
    }
}

static void tell(int signal_) {
    (void)signal_;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    fprintf(stderr, "{\"tokens\": %ld, \"late\": %ld, \"blocked\": %ld, \"cpu\": %.3f}\n", sent, late, blocked,
            used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    _exit(0);
}

int main(int count, char **words) {
    double rate = count > 1 ? atof(words[1]) : 1000, due = 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(count > 2 ? atoi(words[2]) : 0)};
    socklen_t size = sizeof address;
    int on = 1, door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), look = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event mine = {.events = EPOLLIN, .data.u32 = STREAMS}, ready[512];
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(door, (void *)&address, size) || listen(door, 4096)) { perror("stand_in"); return 1; }
    getsockname(door, (void *)&address, &size);
    signal(SIGTERM, tell);
    epoll_ctl(look, EPOLL_CTL_ADD, door, &mine);
    mine.data.u32 = STREAMS + 1;
    epoll_ctl(look, EPOLL_CTL_ADD, timer, &mine);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(look, ready, 512, -1), stepping = 0;
        for (int i = 0; i < n; i++) {
            unsigned place = ready[i].data.u32;
            if (place == STREAMS) {
                int fd;
                while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    for (place = 0; place < STREAMS && streams[place]; place++) {}
                    if (place == STREAMS) { close(fd); continue; }
                    streams[place] = calloc(1, sizeof(struct stream));
                    streams[place]->fd = fd;
                    if ((int)place >= places) places = place + 1;
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    struct epoll_event theirs = {.events = EPOLLIN, .data.u32 = place};
                    epoll_ctl(look, EPOLL_CTL_ADD, fd, &theirs);
                    open_streams++;
                }
            } else if (place == STREAMS + 1) {
                unsigned long ticks;
                stepping = read(timer, &ticks, sizeof ticks) > 0;
            } else if (streams[place]) {
                hear(place);
            }
        }
        if (!open_streams) { due = 0; continue; }
        double t = now();
        if (due && (stepping || t >= due)) {
            int active = 0;
            for (int place = 0; place < places; place++) {
                struct stream *s = streams[place];
                if (!s || !s->tokens) continue;
                active++;
                step(s);
                if (s->left < 0) end(place);
            }
            double gap = (active ? active : open_streams) / rate;
            if (t > due + gap) late++, due = t; /* no bursts to make up for it */
            due += gap;
        } else if (!due) {
            due = t + open_streams / rate;
        }
        struct itimerspec at = {.it_value = {(time_t)due, (long)((due - (time_t)due) * 1e9)}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
    }
}
