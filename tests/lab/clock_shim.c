/* Shifts the wall clock of one process by the seconds that a file holds at the moment of asking.
   Clocks that cannot be set (CLOCK_MONOTONIC, CLOCK_BOOTTIME) stay as they are, as they do when
   somebody sets the clock of a machine. For LD_PRELOAD; programs that call the kernel themselves
   are not fooled. Source: clock_gettime(2), ld.so(8). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift_sec(void)
{
    const char *path = getenv("CLOCK_SHIFT_FILE");
    FILE *file = path ? fopen(path, "re") : NULL;
    long shift = 0;

    if (file) {
        if (fscanf(file, "%ld", &shift) != 1)
            shift = 0;
        fclose(file);
    }
    return shift;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, id, now);

    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift_sec();
    return failed;
}

time_t time(time_t *result)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *result, void *zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) {
        result->tv_sec = now.tv_sec;
        result->tv_usec = now.tv_nsec / 1000;
    }
    return 0;
}
