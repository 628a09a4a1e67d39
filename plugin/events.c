/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events.c - what happens, told to whoever subscribed on the control socket
 */
#include "events.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_LINES 1024u

struct subscriber {
	int fd;
	struct subscriber *next; /* under queues, as all below */
	char *line[QUEUE_LINES]; /* a ring */
	size_t first, n;
	uint64_t dropped; /* since the last line that was queued */
};

static pthread_mutex_t queues = PTHREAD_MUTEX_INITIALIZER;
static struct subscriber *subscribers; /* under queues */

static void add_time(json_t *event)
{
	struct timespec now;
	char day[32], text[48];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof text, "%s.%03ldZ", day, now.tv_nsec / 1000000);
	json_object_set_new(event, "time", json_string(text));
}

static char *line_of(json_t *event)
{
	char *text = json_dumps(event, JSON_COMPACT), *line = NULL;

	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}

static char *dropped_line(uint64_t count)
{
	json_t *event = json_pack("{s:s,s:I}", "event", "dropped", "count", (json_int_t)count);
	char *line;

	if (!event)
		return NULL;
	add_time(event);
	line = line_of(event);
	json_decref(event);
	return line;
}

static void push_locked(struct subscriber *s, char *line)
{
	s->line[(s->first + s->n++) % QUEUE_LINES] = line;
}

/* What was dropped is said as soon as two lines have room. */
static void queue_locked(struct subscriber *s, const char *line)
{
	char *copy, *note;

	if (s->n + 2 > QUEUE_LINES || !(copy = strdup(line))) {
		s->dropped++;
	} else {
		if (s->dropped && (note = dropped_line(s->dropped))) {
			push_locked(s, note);
			s->dropped = 0;
		}
		push_locked(s, copy);
	}
	(void)!write(s->fd, &(uint64_t){1}, sizeof(uint64_t));
}

void events_tell(json_t *event)
{
	char *line;

	pthread_mutex_lock(&queues);
	if (event && subscribers) {
		add_time(event);
		line = line_of(event);
		for (struct subscriber *s = subscribers; line && s; s = s->next)
			queue_locked(s, line);
		free(line);
	}
	pthread_mutex_unlock(&queues);
	json_decref(event);
}

struct subscriber *events_subscribe(void)
{
	struct subscriber *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd < 0) {
		free(s);
		return NULL;
	}
	pthread_mutex_lock(&queues);
	s->next = subscribers;
	subscribers = s;
	pthread_mutex_unlock(&queues);
	return s;
}

void events_unsubscribe(struct subscriber *s)
{
	struct subscriber **at = &subscribers;

	if (!s)
		return;
	pthread_mutex_lock(&queues);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	pthread_mutex_unlock(&queues);
	while (s->n--)
		free(s->line[s->first++ % QUEUE_LINES]);
	close(s->fd);
	free(s);
}

int events_fd(const struct subscriber *s)
{
	return s->fd;
}

char *events_take(struct subscriber *s)
{
	uint64_t count;
	char *line = NULL;

	pthread_mutex_lock(&queues);
	if (s->n) {
		line = s->line[s->first];
		s->first = (s->first + 1) % QUEUE_LINES;
		s->n--;
	} else if (s->dropped && (line = dropped_line(s->dropped))) {
		s->dropped = 0; /* nothing else may happen for long */
	}
	if (!s->n)
		(void)!read(s->fd, &count, sizeof count);
	pthread_mutex_unlock(&queues);
	return line;
}
