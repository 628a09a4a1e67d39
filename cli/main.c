/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - cowbd, the companion command: reads the command line and runs one command
 *
 * Options of all commands may stand before or after the command's name.
 */
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define OPTION_BASE 256 /* getopt's value of option 0 */
#define WORDS_MAX 128

/* getopt's tables for the options that use lists, one after the other. */
struct getopt_tables {
	struct option longs[OPTIONS + 1];
	char shorts[2 * OPTIONS + 4];
	size_t n;
};

static void add_options(struct getopt_tables *t, const struct option_use *use)
{
	for (; use->help; use++) {
		const struct option_def *d = &option_defs[use->id];
		size_t used = strlen(t->shorts);

		t->longs[t->n++] = (struct option){d->name,
						   d->arg ? required_argument : no_argument, NULL,
						   OPTION_BASE + (int)use->id};
		if (d->letter)
			snprintf(t->shorts + used, sizeof t->shorts - used, "%c%s", d->letter,
				 d->arg ? ":" : "");
	}
}

static int option_of(int value)
{
	if (value >= OPTION_BASE)
		return value - OPTION_BASE;
	for (int i = 0; i < OPTIONS; i++)
		if (option_defs[i].letter && option_defs[i].letter == value)
			return i;
	return -1;
}

static int unknown_option(const struct call *c, const struct getopt_tables *t, const char *word)
{
	const char *names[OPTIONS], *meant;

	for (size_t i = 0; i < t->n; i++)
		names[i] = t->longs[i].name;
	meant = strncmp(word, "--", 2) == 0 ? did_you_mean(word + 2, names, t->n) : NULL;
	if (meant)
		return usage_error(c, "no option %s: did you mean --%s?", word, meant);
	return usage_error(c, "no option %s", word);
}

/* Reads options into c->opt; *ret_first: the first word that is none. */
static int read_options(struct call *c, int argc, char **argv, const struct getopt_tables *t,
			int *ret_first)
{
	int value;

	opterr = 0;
	optind = 0; /* glibc: begin anew */
	while ((value = getopt_long(argc, argv, t->shorts, t->longs, NULL)) != -1) {
		int id;

		if (value == ':' || value == '?') {
			char letter[3] = {'-', (char)optopt, '\0'};
			bool is_long = strncmp(argv[optind - 1], "--", 2) == 0;
			const char *word = is_long || !optopt ? argv[optind - 1] : letter;

			if (value == ':')
				return usage_error(c, "option %s needs a value", word);
			return unknown_option(c, t, word);
		}
		id = option_of(value);
		c->opt[id] = optarg ? optarg : "";
	}
	*ret_first = optind;
	return DONE;
}

static int unknown_command(const char *word)
{
	const char *words[WORDS_MAX], *meant;
	size_t n = 0;

	for (size_t i = 0; i < commands_n; i++) {
		words[n++] = commands[i].name;
		if (commands[i].alias)
			words[n++] = commands[i].alias;
	}
	meant = did_you_mean(word, words, n);
	if (meant)
		complain("no command %s: did you mean `cowbd %s`?", word, meant);
	else
		complain("no command %s: `cowbd --help` lists them", word);
	return USAGE;
}

static int check_words(const struct call *c)
{
	if (c->n >= c->command->min && (c->command->max < 0 || c->n <= c->command->max))
		return DONE;
	if (!c->command->words[0])
		return usage_error(c, "takes no words, %d given", c->n);
	return usage_error(c, "takes %s", c->command->words);
}

/* Cuts argv at "--" for a command that passes the rest on. */
static int cut_rest(struct call *c, int argc, char **argv)
{
	for (int i = 1; c->command->passes_rest && i < argc; i++) {
		if (strcmp(argv[i], "--") != 0)
			continue;
		c->rest = argv + i + 1;
		c->rest_n = argc - i - 1;
		return i;
	}
	return argc;
}

static int run_command(struct call *c, int argc, char **argv)
{
	struct getopt_tables t = {.shorts = ":"};
	int first, status;

	c->command = command_find(argv[0]);
	if (!c->command)
		return unknown_command(argv[0]);
	add_options(&t, c->command->options);
	add_options(&t, global_options);
	argc = cut_rest(c, argc, argv);
	status = read_options(c, argc, argv, &t, &first);
	if (status)
		return status;
	if (c->opt[OPT_HELP]) {
		print_command_help(c->command);
		return DONE;
	}
	c->words = argv + first;
	c->n = argc - first;
	status = check_words(c);
	return status ? status : c->command->run(c);
}

int cmd_help(const struct call *c)
{
	const struct command *of = c->n ? command_find(c->words[0]) : NULL;

	if (c->n && !of)
		return unknown_command(c->words[0]);
	if (of)
		print_command_help(of);
	else
		print_help();
	return DONE;
}

/* Output that did not get out is a failure; a reader that left early is none. */
static int end_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return status ? status : complain("can't write to standard output");
}

int main(int argc, char **argv)
{
	struct call c = {0};
	struct getopt_tables t = {.shorts = "+:"};
	int first, status;

	signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is a full pool, not our death */
	setlocale(LC_CTYPE, "");  /* widths and lines of tables; numbers stay as they are */
	add_options(&t, global_options);
	status = read_options(&c, argc, argv, &t, &first);
	if (status)
		return status;
	if (c.opt[OPT_VERSION]) {
		printf("cowbd %s\n", cowbd_version());
		return end_output(DONE);
	}
	if (c.opt[OPT_HELP] && first == argc) {
		print_help();
		return end_output(DONE);
	}
	if (first == argc) {
		complain("no command given: `cowbd --help` lists them");
		return USAGE;
	}
	return end_output(run_command(&c, argc - first, argv + first));
}
