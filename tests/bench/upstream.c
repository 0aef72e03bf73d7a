/* The database of the benchmark: answers like CouchDB, in a few microseconds, so that the gate is what is measured.
 *
 *   upstream PORT          one process, epoll, HTTP/1.1 and 1.0, keep-alive and close, loopback only
 *
 *   GET  /bench/...        a JSON document of about 250 bytes, with CouchDB's header fields
 *   GET  /bench/big/N      N bytes (an attachment named N)
 *   GET  /bench/_changes…  a longpoll: head and first bytes at once, the end when it is released
 *   PUT, POST              reads the body (Content-Length only), answers 201
 *   GET  /__stats          {"requests": requests below /bench so far, "held": longpolls open now}
 *   GET  /__release        ends every longpoll
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_SIZE = 16384, OUT_SIZE = 1024, FILL_SIZE = 1 << 18, MAX_FDS = 65536 };

typedef struct {
    int fd, closing, held;
    size_t in_len;              /* bytes of an unfinished head */
    unsigned long long drain;   /* bytes of the request's body still to come */
    size_t out_len, out_off;    /* answer head and small body not yet sent */
    unsigned long long fill;    /* filler bytes of the answer not yet sent */
    unsigned events;
    char in[IN_SIZE], out[OUT_SIZE];
} Conn;

static Conn *conns[MAX_FDS];
static char filler[FILL_SIZE], sink[FILL_SIZE], date[64];
static unsigned long long served, serial;
static int held, ep;

static const char document[] =
    "{\"_id\":\"note:2024-05-17:00042\",\"_rev\":\"3-917fa2381192822767f010b95b45325b\",\"type\":\"note\","
    "\"title\":\"Groceries\",\"body\":\"Milk, bread, apples, coffee and something for Sunday\","
    "\"tags\":[\"home\",\"list\"],\"created\":\"2024-05-17T08:12:44.120Z\",\"done\":false}\n";
static const char created[] = "{\"ok\":true,\"id\":\"note\",\"rev\":\"1-967a00dff5e02add\"}\n";
static const char row[] =
    "\n{\"seq\":\"7-g1AAAACLeJzLYWBgYMpgTmHgz8tPSTV0MDQy1zMAQsMckEQiQ1L9____\",\"id\":\"note\","
    "\"changes\":[{\"rev\":\"1-917fa2381192822767f010b95b45325b\"}]}\n],\n"
    "\"last_seq\":\"7-g1AAAACLeJzLYWBgYMpgTmHgz8tPSTV0MDQy1zMAQsMckEQiQ1L9____\",\"pending\":0}\n";

static void drop(Conn *c) {
    if (c->held) held--;
    conns[c->fd] = NULL;
    close(c->fd);
    free(c);
}

static void want(Conn *c, unsigned events) {
    if (c->events == events) return;
    struct epoll_event event = {.events = events, .data.fd = c->fd};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &event);
    c->events = events;
}

/* Sends what is pending; 0 when all is sent, 1 when the socket is full, -1 when the connection is gone. */
static int flush(Conn *c) {
    while (c->out_off < c->out_len || c->fill) {
        ssize_t n;
        if (c->out_off < c->out_len) {
            n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL | (c->fill ? MSG_MORE : 0));
            if (n > 0) c->out_off += (size_t)n;
        } else {
            n = send(c->fd, filler, c->fill < FILL_SIZE ? (size_t)c->fill : FILL_SIZE, MSG_NOSIGNAL);
            if (n > 0) c->fill -= (unsigned long long)n;
        }
        if (n < 0) {
            if (errno == EAGAIN) { want(c, EPOLLIN | EPOLLOUT); return 1; }
            drop(c);
            return -1;
        }
    }
    c->out_len = c->out_off = 0;
    want(c, EPOLLIN);
    if (c->closing && !c->held) { drop(c); return -1; }
    return 0;
}

static void answer(Conn *c, const char *status, const char *type, const char *body, unsigned long long length) {
    c->out_len += (size_t)snprintf(c->out + c->out_len, OUT_SIZE - c->out_len,
        "HTTP/1.1 %s\r\nCache-Control: must-revalidate\r\nContent-Length: %llu\r\nContent-Type: %s\r\nDate: %s\r\n"
        "ETag: \"3-917fa2381192822767f010b95b45325b\"\r\nServer: CouchDB/3.5.0 (Erlang OTP/26)\r\n"
        "X-Couch-Request-ID: %010llx\r\nX-CouchDB-Body-Time: 0\r\n%s\r\n%s",
        status, length, type, date, ++serial, c->closing ? "Connection: close\r\n" : "", body);
}

static void hold(Conn *c) {
    c->out_len += (size_t)snprintf(c->out + c->out_len, OUT_SIZE - c->out_len,
        "HTTP/1.1 200 OK\r\nCache-Control: must-revalidate\r\nContent-Type: application/json\r\nDate: %s\r\n"
        "Server: CouchDB/3.5.0 (Erlang OTP/26)\r\nTransfer-Encoding: chunked\r\nX-Couch-Request-ID: %010llx\r\n"
        "X-CouchDB-Body-Time: 0\r\n%s\r\nc\r\n{\"results\":[\r\n",
        date, ++serial, c->closing ? "Connection: close\r\n" : "");
    c->held = 1;
    held++;
}

static void release_all(void) {
    for (int fd = 0; fd < MAX_FDS; fd++) {
        Conn *c = conns[fd];
        if (!c || !c->held) continue;
        c->out_len += (size_t)snprintf(c->out + c->out_len, OUT_SIZE - c->out_len, "%zx\r\n%s\r\n0\r\n\r\n", strlen(row), row);
        c->held = 0;
        held--;
        flush(c);
    }
}

/* Value of a header field in a head that ends with a zero byte, or NULL. `name` is "\nname:". */
static const char *field(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    if (!found) return NULL;
    found += strlen(name);
    while (*found == ' ') found++;
    return found;
}

static void respond(Conn *c, char *head) {
    char *path = strchr(head, ' ');
    if (!path) { c->closing = 1; answer(c, "400 Bad Request", "text/plain", "", 0); return; }
    path++;
    char *end = strchr(path, ' ');
    const char *connection = field(head, "\nconnection:"), *length = field(head, "\ncontent-length:");
    int old = end && !strncmp(end, " HTTP/1.0", 9);
    c->closing = connection ? !strncasecmp(connection, "close", 5) : old;
    if (field(head, "\ntransfer-encoding:")) {
        c->closing = 1;
        answer(c, "411 Length Required", "text/plain", "", 0);
        return;
    }
    c->drain = length ? strtoull(length, NULL, 10) : 0;
    if (field(head, "\nexpect:") && c->drain)
        c->out_len += (size_t)snprintf(c->out, OUT_SIZE, "HTTP/1.1 100 Continue\r\n\r\n");
    if (end) *end = 0;
    char small[128];
    if (!strcmp(path, "/__stats")) {
        snprintf(small, sizeof small, "{\"requests\":%llu,\"held\":%d}\n", served, held);
        answer(c, "200 OK", "application/json", small, strlen(small));
        return;
    }
    if (!strcmp(path, "/__release")) {
        release_all();
        answer(c, "200 OK", "application/json", "{}\n", 3);
        return;
    }
    if (!strncmp(path, "/bench", 6)) served++;
    char *big = strstr(path, "/big/");
    if (head[0] == 'P' && head[1] != 'R') return; /* PUT, POST: answered when the body is here */
    if (big) {
        c->fill = strtoull(big + 5, NULL, 10);
        answer(c, "200 OK", "application/octet-stream", "", c->fill);
    } else if (strstr(path, "/_changes")) {
        hold(c);
    } else {
        answer(c, "200 OK", "application/json", document, sizeof document - 1);
    }
}

static void readable(Conn *c) {
    if (c->out_len || c->fill) return; /* one exchange at a time */
    if (c->drain) {
        ssize_t n = recv(c->fd, sink, c->drain < FILL_SIZE ? (size_t)c->drain : FILL_SIZE, MSG_TRUNC);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) { drop(c); return; }
        c->drain -= (unsigned long long)n;
        if (c->drain) return;
        answer(c, "201 Created", "application/json", created, sizeof created - 1);
        flush(c);
        return;
    }
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_SIZE - 1 - c->in_len, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { drop(c); return; }
    c->in_len += (size_t)n;
    c->in[c->in_len] = 0;
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!end) {
        if (c->in_len == IN_SIZE - 1) drop(c);
        return;
    }
    end[2] = 0;
    size_t rest = c->in_len - (size_t)(end + 4 - c->in);
    int body = c->in[0] == 'P' && c->in[1] != 'R';
    c->in_len = 0;
    respond(c, c->in);
    if (body && !c->out_len && !c->fill) {
        c->drain = c->drain > rest ? c->drain - rest : 0;
        if (c->drain) return;
        answer(c, "201 Created", "application/json", created, sizeof created - 1);
    } else if (body) {
        c->drain = c->drain > rest ? c->drain - rest : 0; /* after 100 Continue */
    }
    flush(c);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    memset(filler, 'x', sizeof filler);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)(argc > 1 ? atoi(argv[1]) : 0)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (argc < 2 || bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) {
        perror("upstream");
        return 1;
    }
    ep = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(ep, ready, 256, -1);
        time_t now = time(NULL);
        struct tm utc;
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                for (int new; (new = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                    if (new >= MAX_FDS) { close(new); continue; }
                    setsockopt(new, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    Conn *c = malloc(sizeof *c);
                    if (!c) { close(new); continue; }
                    memset(c, 0, offsetof(Conn, in));
                    c->fd = new;
                    c->events = EPOLLIN;
                    conns[new] = c;
                    event = (struct epoll_event){.events = EPOLLIN, .data.fd = new};
                    epoll_ctl(ep, EPOLL_CTL_ADD, new, &event);
                }
                continue;
            }
            Conn *c = conns[fd];
            if (!c) continue;
            if (ready[i].events & (EPOLLERR | EPOLLHUP)) { drop(c); continue; }
            if (ready[i].events & EPOLLOUT && flush(c) != 0) continue;
            if (ready[i].events & EPOLLIN) readable(c);
        }
    }
}
