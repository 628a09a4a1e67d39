/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fswriter.c - writes a file of a mounted file system, and knows what must be in it
 *
 *	fswriter FILE SEED	until SIGTERM, then reads all back; status 1 and why at the first error
 *
 * Each block of the file bears its number and how often it was written.  What was synced is dropped from the
 * page cache and read again from the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096u
#define BLOCKS 4096u
#define SYNC_EVERY 64u

static volatile sig_atomic_t stop;
static uint32_t written[BLOCKS]; /* how often */
static uint64_t buf[BLOCK / sizeof(uint64_t)];

static void on_term(int number)
{
	(void)number;
	stop = 1;
}

static void die(const char *what, uint32_t block)
{
	fprintf(stderr, "fswriter: %s, block %" PRIu32 ": %s\n", what, block, strerror(errno));
	exit(1);
}

static uint64_t stamp(uint32_t block, uint32_t count, size_t word)
{
	return ((uint64_t)block << 32 | count) * UINT64_C(0x9e3779b97f4a7c15) + word;
}

static void write_block(int fd, uint32_t block)
{
	written[block]++;
	for (size_t i = 0; i < BLOCK / sizeof buf[0]; i++)
		buf[i] = stamp(block, written[block], i);
	if (pwrite(fd, buf, BLOCK, (off_t)block * BLOCK) != BLOCK)
		die("write", block);
}

static void check_block(int fd, uint32_t block)
{
	if (!written[block])
		return;
	if (pread(fd, buf, BLOCK, (off_t)block * BLOCK) != BLOCK)
		die("read", block);
	for (size_t i = 0; i < BLOCK / sizeof buf[0]; i++)
		if (buf[i] != stamp(block, written[block], i)) {
			errno = EILSEQ;
			die("not what was written", block);
		}
}

/* After it the next reads come from the disk. */
static void sync_and_forget(int fd)
{
	if (fsync(fd) < 0)
		die("fsync", 0);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_term};
	uint64_t rounds = 0, state;
	int fd;

	if (argc != 3)
		return 2;
	state = strtoull(argv[2], NULL, 10) * 2 + 1;
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die(argv[1], 0);
	sigaction(SIGTERM, &sa, NULL);
	for (; !stop; rounds++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
		write_block(fd, (uint32_t)(state >> 33) % BLOCKS);
		check_block(fd, (uint32_t)(state >> 21) % BLOCKS);
		if (rounds % SYNC_EVERY == 0)
			sync_and_forget(fd);
	}
	sync_and_forget(fd);
	for (uint32_t i = 0; i < BLOCKS; i++)
		check_block(fd, i);
	printf("%" PRIu64 " writes verified\n", rounds);
	return close(fd) < 0;
}
