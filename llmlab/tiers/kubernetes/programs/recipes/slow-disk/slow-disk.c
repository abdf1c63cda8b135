// A slow model volume: whoever maps or reads a large file waits as long as its bytes would take to come.
// SLOW_DISK_BYTES_PER_SECOND says how fast they come; 0 or nothing: at once. It stands in for a network volume
// (NFS, EFS, Azure Files), on which the first read of a model takes minutes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void wait_for(size_t bytes) {
    const char *said = getenv("SLOW_DISK_BYTES_PER_SECOND");
    double rate = said ? atof(said) : 0;
    if (rate <= 0 || bytes < 65536) return;  // what is small is in the client's cache
    double seconds = bytes / rate;
    struct timespec left = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left)) {}
}

// Which open files are models: only they lie on the slow volume.
static int is_model(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 5) return 0;
    path[n] = 0;
    return !strcmp(path + n - 5, ".gguf");
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "mmap");
    if (fd >= 0 && is_model(fd)) wait_for(length);
    return real(at, length, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    return mmap(at, length, protection, flags, fd, offset);
}

size_t fread(void *into, size_t size, size_t count, FILE *file) {
    static size_t (*real)(void *, size_t, size_t, FILE *);
    if (!real) real = dlsym(RTLD_NEXT, "fread");
    if (is_model(fileno(file))) wait_for(size * count);
    return real(into, size, count, file);
}
