/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process that carries a VM: its beginning, what it tells, its end. */
#include "vmms/carrier/carrier.h"

#include "common/base/error.h"
#include "common/base/text.h"
#include "vmms/base/plain_socket.h"
#include "vmms/base/process.h"
#include "vmms/base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct carrier {
	struct carrier_config config;
	sd_event *loop;
	pid_t pid; /* 0: none */
	int pidfd, key, output;
	sd_event_source *pidfd_source, *output_source;
	char line[CARRIER_WORDS_MAX]; /* what has come of one */
	size_t line_size;
	char words[CARRIER_WORDS_MAX]; /* the last that was none of the known */
};

/* ---- What it tells ---- */

static void carrier_take_line(struct carrier *carrier)
{
	carrier->line[carrier->line_size] = '\0';
	carrier->line_size = 0;
	if (strcmp(carrier->line, CARRIER_CONNECTED) == 0)
		carrier->config.callbacks->connected(carrier->config.owner);
	else if (strcmp(carrier->line, CARRIER_BEGUN) == 0 && carrier->config.listens)
		carrier->config.callbacks->begun(carrier->config.owner);
	else
		text_repair(carrier->words, sizeof(carrier->words), carrier->line,
			    strlen(carrier->line));
}

/* A line at a time, as its owner may free it at each. Return: whether one is whole. */
static bool carrier_read_line(struct carrier *carrier)
{
	char byte;

	while (read(carrier->output, &byte, 1) == 1) {
		if (byte == '\n')
			return true;
		if (carrier->line_size < sizeof(carrier->line) - 1)
			carrier->line[carrier->line_size++] = byte;
	}
	return false;
}

static int carrier_says(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct carrier *carrier = data;

	if (carrier_read_line(carrier))
		carrier_take_line(carrier);
	else if (events & EPOLLHUP)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static int carrier_process_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct carrier *carrier = data;
	char words[CARRIER_WORDS_MAX];
	siginfo_t info = { 0 };

	(void)waitid(P_PIDFD, (id_t)carrier->pidfd, &info, WEXITED | WNOHANG);
	carrier->pid = 0;
	sd_event_source_set_enabled(carrier->pidfd_source, SD_EVENT_OFF);
	sd_event_source_set_enabled(carrier->output_source, SD_EVENT_OFF);
	if (carrier->words[0] == '\0' && info.si_code != CLD_EXITED)
		snprintf(carrier->words, sizeof(carrier->words), "killed by signal %d",
			 info.si_status);
	memcpy(words, carrier->words, sizeof(words));
	carrier->config.callbacks->ended(carrier->config.owner, words);
	return 0;
}

/* ---- Life ---- */

static int carrier_spawn(struct carrier *carrier, int key, int output, int stream)
{
	const struct carrier_config *config = &carrier->config;
	char timeout[16];
	const char *const arguments[] = { config->program, config->listens ? "listen" : "connect",
					  timeout, NULL };
	char *environment[] = { NULL };
	const int more[] = { stream, config->network };
	const struct spawn spawn = { .arguments = arguments,
				     .environment = environment,
				     .directory = "/",
				     .output = output,
				     .error = output,
				     .passed = key,
				     .more = more,
				     .more_count = ARRAY_SIZE(more),
				     .user = config->user,
				     .outlives = true };

	snprintf(timeout, sizeof(timeout), "%u", config->timeout);
	return spawn_program(&spawn, &carrier->pid, &carrier->pidfd);
}

static int carrier_watch(struct carrier *carrier)
{
	int r = sd_event_add_io(carrier->loop, &carrier->output_source, carrier->output, EPOLLIN,
				carrier_says, carrier);

	if (r >= 0)
		r = sd_event_add_io(carrier->loop, &carrier->pidfd_source, carrier->pidfd, EPOLLIN,
				    carrier_process_ended, carrier);
	/* What it said is heard before its end is. */
	if (r >= 0)
		r = sd_event_source_set_priority(carrier->pidfd_source, SD_EVENT_PRIORITY_IDLE);
	return r < 0 ? r : 0;
}

static int carrier_run(struct carrier *carrier, int stream)
{
	int key[2], output[2], r;

	if (pipe2(key, O_CLOEXEC) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int far_key = key[0];
	carrier->key = key[1];
	if (pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int far_output = output[1];
	carrier->output = output[0];
	if (write(carrier->key, carrier->config.key, CARRIER_KEY_SIZE) != CARRIER_KEY_SIZE)
		return error_origin(-EIO);
	r = carrier_spawn(carrier, far_key, far_output, stream);
	return r < 0 ? r : carrier_watch(carrier);
}

int carrier_start(sd_event *loop, const struct carrier_config *config, struct carrier **ret_carrier,
		  int *ret_stream)
{
	CLEANUP(carrier_freep) struct carrier *carrier = calloc(1, sizeof(*carrier));
	int pair[2], r;

	if (!carrier)
		return -ENOMEM;
	*carrier = (struct carrier){ .config = *config, .pidfd = -1, .key = -1, .output = -1 };
	carrier->loop = sd_event_ref(loop);
	if (access(config->program, X_OK) < 0)
		return error_origin(-errno);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_origin(-errno);
	plain_socket_make(pair[0]);
	plain_socket_make(pair[1]);
	r = carrier_run(carrier, pair[1]);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	carrier->config.key = NULL;
	*ret_stream = pair[0];
	*ret_carrier = TAKE_PTR(carrier);
	return 0;
}

pid_t carrier_pid(const struct carrier *carrier)
{
	return carrier->pid;
}

void carrier_free(struct carrier *carrier)
{
	if (!carrier)
		return;
	if (carrier->pid > 0)
		(void)pidfd_send_signal(carrier->pidfd, SIGKILL, NULL, 0);
	carrier_release(carrier);
}

void carrier_release(struct carrier *carrier)
{
	if (!carrier)
		return;
	sd_event_source_disable_unref(carrier->pidfd_source);
	sd_event_source_disable_unref(carrier->output_source);
	if (carrier->pid > 0)
		process_reap(carrier->loop, TAKE_FD(carrier->pidfd));
	sd_event_unref(carrier->loop);
	close_fdp(&carrier->pidfd);
	close_fdp(&carrier->key);
	close_fdp(&carrier->output);
	free(carrier);
}
