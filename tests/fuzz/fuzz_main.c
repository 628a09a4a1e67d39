/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_main.c - runs a fuzz target without libFuzzer
 *
 *	replay_TARGET                       its corpus in the source tree, its seeds, and mutations of both
 *	replay_TARGET FILE-OR-DIRECTORY...  these, as they are
 *	replay_TARGET --seeds DIRECTORY     writes its seeds there
 *
 * COWBD_FUZZ=N tries N mutations, COWBD_SEED=S from this seed on; both are printed.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUTS_MAX 4096u
#define MUTATIONS 300u
#define SECONDS_MAX 20
#define HANG_SECONDS 60u

struct input {
	uint8_t *data;
	size_t len;
};

static struct input inputs[INPUTS_MAX];
static size_t ninputs;
static uint64_t chance_state;
static uint8_t work[FUZZ_BYTES_MAX];

/* ---- inputs ---------------------------------------------------------------------------------- */

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static void keep(const uint8_t *data, size_t len)
{
	struct input *in = &inputs[ninputs];

	if (ninputs == INPUTS_MAX)
		return;
	in->data = malloc(len ? len : 1);
	if (!in->data)
		die("memory");
	memcpy(in->data, data, len);
	in->len = len;
	ninputs++;
}

static void read_file(const char *path)
{
	FILE *f = fopen(path, "rb");

	if (!f)
		die(path);
	keep(work, fread(work, 1, sizeof work, f));
	fclose(f);
}

static void read_any(const char *path)
{
	struct dirent **name;
	struct stat st;
	int n;

	if (stat(path, &st) < 0)
		die(path);
	if (!S_ISDIR(st.st_mode)) {
		read_file(path);
		return;
	}
	n = scandir(path, &name, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof file, "%s/%s", path, name[i]->d_name);
		if (name[i]->d_name[0] != '.')
			read_file(file);
		free(name[i]);
	}
	if (n >= 0)
		free(name);
}

static void add_seeds(void)
{
	size_t len;

	for (unsigned i = 0; (len = fuzz_seed(i, work, sizeof work)) > 0; i++)
		keep(work, len);
}

static void write_seeds(const char *dir)
{
	add_seeds();
	for (size_t i = 0; i < ninputs; i++) {
		char path[4096];
		FILE *f;

		snprintf(path, sizeof path, "%s/seed-%zu", dir, i);
		f = fopen(path, "wb");
		if (!f || fwrite(inputs[i].data, 1, inputs[i].len, f) != inputs[i].len || fclose(f))
			die(path);
	}
}

/* ---- running --------------------------------------------------------------------------------- */

/* Stands in for libFuzzer's: bytes and bits, here and there. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max)
{
	for (uint64_t n = 1 + fuzz_chance(&chance_state, 4); n-- > 0;) {
		if (len < max && (len == 0 || fuzz_chance(&chance_state, 8) == 0))
			data[len++] = (uint8_t)fuzz_chance(&chance_state, 256);
		else if (len > 1 && fuzz_chance(&chance_state, 16) == 0)
			len -= fuzz_chance(&chance_state, len - 1);
		else
			data[fuzz_chance(&chance_state, len)] ^=
				(uint8_t)(1u << fuzz_chance(&chance_state, 8));
	}
	return len;
}

static void run(const uint8_t *data, size_t len)
{
	alarm(HANG_SECONDS);
	LLVMFuzzerTestOneInput(data, len);
}

/* Left in the test's directory for whoever looks why a mutation failed. */
static void note_input(const uint8_t *data, size_t len)
{
	const char *path = getenv("COWBD_FUZZ_LAST");
	FILE *f = path ? fopen(path, "wb") : NULL;

	if (f && fwrite(data, 1, len, f) == len)
		fclose(f);
}

static uint64_t mutate(uint64_t tries, uint64_t seed)
{
	time_t end = time(NULL) + SECONDS_MAX;
	uint64_t n = 0;

	chance_state = seed;
	for (; n < tries && time(NULL) < end && ninputs > 0; n++) {
		const struct input *in = &inputs[fuzz_chance(&chance_state, ninputs)];
		size_t len = in->len;

		memcpy(work, in->data, len);
		for (uint64_t k = 1 + fuzz_chance(&chance_state, 3); k-- > 0;)
			len = LLVMFuzzerCustomMutator(work, len, sizeof work,
						      (unsigned)fuzz_chance(&chance_state,
									    1u << 31));
		note_input(work, len);
		run(work, len);
	}
	return n;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	uint64_t seed = env_number("COWBD_SEED", 1), tries = env_number("COWBD_FUZZ", MUTATIONS);
	const char *source = getenv("top_srcdir");
	char corpus[4096];

	if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
		write_seeds(argv[2]);
		return 0;
	}
	snprintf(corpus, sizeof corpus, "%s/tests/fuzz/corpus/%s", source ? source : ".",
		 fuzz_name);
	for (int i = 1; i < argc; i++)
		read_any(argv[i]);
	if (argc == 1) {
		read_any(corpus);
		add_seeds();
	}
	for (size_t i = 0; i < ninputs; i++)
		run(inputs[i].data, inputs[i].len);
	printf("%s: %zu inputs replayed\n", fuzz_name, ninputs);
	if (argc == 1)
		printf("%s: %" PRIu64 " mutations tried (seed %" PRIu64 ")\n", fuzz_name,
		       mutate(tries, seed), seed);
	for (size_t i = 0; i < ninputs; i++)
		free(inputs[i].data);
	return ninputs == 0;
}
