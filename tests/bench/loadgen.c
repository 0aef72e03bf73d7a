/* The load of the benchmark: N connections, each with one request in flight, taken in turn from a file.
 *
 *   loadgen PORT CONNECTIONS FILE keep|close BODY STATUS SECONDS COUNT START
 *
 * FILE holds requests, each behind its length (4 bytes, little-endian); START is the first one sent, and the file is
 * taken round and round. Each request is followed by BODY filler bytes. The run ends after SECONDS, or after COUNT
 * requests (0: no count). `close` opens a connection for each request and waits for its end. An answer whose status is
 * not STATUS, or that breaks off, is an error. Answers need Content-Length, or end with their connection.
 * Prints one line of JSON: requests, errors, seconds, bytes, p50_us, p99_us.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_SIZE = 8192, SINK_SIZE = 1 << 18, MAX_CONNECTIONS = 256, MAX_SAMPLES = 1 << 21 };

typedef struct {
    int fd, status, writing;
    const char *request;
    size_t request_len, sent;
    unsigned long long body_left;   /* filler still to send */
    size_t head_len;
    int in_body, until_eof;
    unsigned long long left;        /* body bytes still to come */
    uint64_t start;
    char head[HEAD_SIZE + 1];
} Conn;

static Conn conns[MAX_CONNECTIONS];
static char filler[SINK_SIZE], sink[SINK_SIZE];
static const char **requests;
static size_t *lengths, request_count, next_request;
static unsigned long long body, done, errors, bytes, started, wanted;
static uint32_t *samples;
static size_t sample_count;
static int ep, port, expected, closing, active;
static uint64_t deadline;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what) { perror(what); exit(1); }

static void open_connection(Conn *c) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof at)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event);
    c->writing = 0;
}

static void want_write(Conn *c, int writing) {
    if (c->writing == writing) return;
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &event);
    c->writing = writing;
}

static void push(Conn *c) {
    while (c->sent < c->request_len || c->body_left) {
        ssize_t n;
        if (c->sent < c->request_len) {
            n = send(c->fd, c->request + c->sent, c->request_len - c->sent, MSG_NOSIGNAL | (c->body_left ? MSG_MORE : 0));
            if (n > 0) c->sent += (size_t)n;
        } else {
            n = send(c->fd, filler, c->body_left < SINK_SIZE ? (size_t)c->body_left : SINK_SIZE, MSG_NOSIGNAL);
            if (n > 0) { c->body_left -= (unsigned long long)n; bytes += (unsigned long long)n; }
        }
        if (n < 0) {
            if (errno == EAGAIN) want_write(c, 1);
            return; /* any other error shows itself in recv */
        }
    }
    want_write(c, 0);
}

/* Starts the next request on this connection, or leaves it when the run is over. */
static void begin(Conn *c, uint64_t now) {
    if (now >= deadline || (wanted && started >= wanted)) {
        if (c->fd >= 0) close(c->fd);
        c->fd = -1;
        active--;
        return;
    }
    if (c->fd < 0) open_connection(c);
    c->request = requests[next_request];
    c->request_len = lengths[next_request];
    if (++next_request == request_count) next_request = 0;
    c->sent = c->head_len = 0;
    c->in_body = c->until_eof = 0;
    c->left = 0;
    c->body_left = body;
    c->start = now;
    started++;
    push(c);
}

static void finish(Conn *c, int whole) {
    uint64_t now = now_ns();
    done++;
    if (!whole || c->status != expected) errors++;
    if (sample_count < MAX_SAMPLES) samples[sample_count++] = (uint32_t)((now - c->start) / 10); /* 10 ns */
    if (closing || !whole || c->until_eof) { close(c->fd); c->fd = -1; }
    begin(c, now);
}

static void parse_head(Conn *c, char *end) {
    *end = 0;
    c->status = c->head_len > 12 ? atoi(c->head + 9) : 0;
    const char *length = strcasestr(c->head, "\ncontent-length:");
    size_t rest = c->head_len - (size_t)(end + 4 - c->head);
    c->in_body = 1;
    if (strcasestr(c->head, "\ntransfer-encoding:")) { fprintf(stderr, "chunked answers are not read\n"); exit(1); }
    if (length) c->left = strtoull(length + 16, NULL, 10);
    else c->until_eof = 1;
    bytes += rest;
    if (!c->until_eof) c->left = c->left > rest ? c->left - rest : 0;
}

static void pull(Conn *c) {
    ssize_t n;
    if (!c->in_body) {
        n = recv(c->fd, c->head + c->head_len, HEAD_SIZE - c->head_len, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) { finish(c, 0); return; }
        c->head_len += (size_t)n;
        c->head[c->head_len] = 0;
        for (;;) {
            char *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
            if (!end) {
                if (c->head_len == HEAD_SIZE) finish(c, 0);
                return;
            }
            if (!strncmp(c->head + 8, " 100", 4)) { /* an interim answer */
                c->head_len -= (size_t)(end + 4 - c->head);
                memmove(c->head, end + 4, c->head_len + 1);
                continue;
            }
            parse_head(c, end);
            break;
        }
        if (!c->left && !c->until_eof && !closing) { finish(c, 1); return; }
        return;
    }
    n = recv(c->fd, sink, SINK_SIZE, MSG_TRUNC);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) { finish(c, 0); return; }
    if (n == 0) { finish(c, (closing || c->until_eof) && !c->left); return; }
    bytes += (unsigned long long)n;
    if (c->until_eof) return;
    c->left = c->left > (unsigned long long)n ? c->left - (unsigned long long)n : 0;
    if (!c->left && !closing) finish(c, 1);
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file), room = 0;
    rewind(file);
    char *text = malloc(size);
    if (!text || fread(text, 1, size, file) != size) fail(path);
    fclose(file);
    for (size_t at = 0; at + 4 <= size;) {
        uint32_t length;
        memcpy(&length, text + at, 4);
        if (request_count == room) {
            room = room ? room * 2 : 1024;
            requests = realloc(requests, room * sizeof *requests);
            lengths = realloc(lengths, room * sizeof *lengths);
            if (!requests || !lengths) fail("memory");
        }
        requests[request_count] = text + at + 4;
        lengths[request_count++] = length;
        at += 4 + length;
    }
    if (!request_count) { fprintf(stderr, "%s holds no request\n", path); exit(1); }
}

int main(int argc, char **argv) {
    if (argc != 10) { fprintf(stderr, "usage: loadgen PORT CONNECTIONS FILE keep|close BODY STATUS SECONDS COUNT START\n"); return 2; }
    port = atoi(argv[1]);
    active = atoi(argv[2]);
    load(argv[3]);
    closing = !strcmp(argv[4], "close");
    body = strtoull(argv[5], NULL, 10);
    expected = atoi(argv[6]);
    wanted = strtoull(argv[8], NULL, 10);
    next_request = strtoull(argv[9], NULL, 10) % request_count;
    samples = malloc(MAX_SAMPLES * sizeof *samples);
    if (active < 1 || active > MAX_CONNECTIONS || !samples) { fprintf(stderr, "1 to %d connections\n", MAX_CONNECTIONS); return 2; }
    memset(filler, 'x', sizeof filler);
    ep = epoll_create1(0);
    int count = active;
    for (int i = 0; i < count; i++) { conns[i].fd = -1; if (!closing) open_connection(&conns[i]); }
    uint64_t begun = now_ns();
    uint64_t hard = begun + (uint64_t)((atof(argv[7]) + 20) * 1e9); /* never hang on a gate that does */
    deadline = begun + (uint64_t)(atof(argv[7]) * 1e9);
    for (int i = 0; i < count; i++) begin(&conns[i], now_ns());
    struct epoll_event ready[MAX_CONNECTIONS];
    while (active > 0) {
        int events = epoll_wait(ep, ready, MAX_CONNECTIONS, 1000);
        if (now_ns() > hard) { fprintf(stderr, "%d requests were never answered\n", active); return 1; }
        for (int i = 0; i < events; i++) {
            Conn *c = ready[i].data.ptr;
            if (ready[i].events & EPOLLOUT) push(c);
            if (ready[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) pull(c);
        }
    }
    double seconds = (double)(now_ns() - begun) / 1e9;
    qsort(samples, sample_count, sizeof *samples, ascending);
    printf("{\"requests\":%llu,\"errors\":%llu,\"seconds\":%.6f,\"bytes\":%llu,\"p50_us\":%.2f,\"p99_us\":%.2f}\n", done, errors, seconds,
           bytes, sample_count ? samples[sample_count / 2] / 100.0 : 0, sample_count ? samples[sample_count * 99 / 100] / 100.0 : 0);
    return 0;
}
