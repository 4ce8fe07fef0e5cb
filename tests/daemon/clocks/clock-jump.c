/* LD_PRELOAD shim: a program believes that its machine slept, or that somebody has set its clock.
 *
 * $JUMP_FILE holds three numbers of seconds: they are added to CLOCK_BOOTTIME, CLOCK_REALTIME and CLOCK_MONOTONIC. The file
 * is read at every call, so that the clocks jump when it is replaced. Built by the test: cc -shared -fPIC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, time);
  if (clock != CLOCK_BOOTTIME && clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return result;
  const char *path = getenv("JUMP_FILE");
  if (!path) return result;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return result;
  char text[64] = {0};
  if (read(file, text, sizeof text - 1) > 0) {
    char *rest = text;
    long boot = strtol(rest, &rest, 10);
    long wall = strtol(rest, &rest, 10);
    long awake = strtol(rest, &rest, 10);
    time->tv_sec += clock == CLOCK_BOOTTIME ? boot : clock == CLOCK_REALTIME ? wall : awake;
  }
  close(file);
  return result;
}
