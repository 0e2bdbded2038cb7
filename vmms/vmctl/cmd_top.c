/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl top. */
#include "vmms/vmctl/rates.h"
#include "vmms/vmctl/screen.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"
#include "vmms/vmctl/terminal.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define INTERVAL      2 /* seconds */
#define INTERVAL_ONCE 1
#define INTERVAL_MAX  3600

#define KEY_INTERRUPT 3 /* ^C, which a raw terminal gives as it is */

struct top {
	struct invocation *invocation;
	unsigned interval;
	enum screen_view view;
	struct json_object *before, *now; /* statistics */
	bool done;
};

/* ---- Statistics ---- */

static enum status top_get_statistics(struct top *top)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	struct json_object *tree = NULL;
	int r;

	r = sd_bus_message_new_method_call(top->invocation->bus, &call, DBUS_NAME, DBUS_PATH,
					   DBUS_INTERFACE_MANAGER, "GetStatistics");
	if (r >= 0)
		r = service_call(top->invocation, call, SERVICE_TIMEOUT, &error, &reply);
	if (r >= 0)
		r = service_read_json(reply, &tree);
	if (r < 0) {
		terminal_restore();
		return service_failed(r, &error);
	}
	json_object_put(top->before);
	top->before = top->now;
	top->now = tree;
	sd_bus_error_free(&error);
	return STATUS_OK;
}

/* ---- On the terminal ---- */

static volatile sig_atomic_t resized;

static void top_on_resize(int number)
{
	resized = true;
}

static void top_format_head(const struct top *top, const struct rates *rates, char head[128])
{
	snprintf(head, 128, "%zu VM%s, %zu running   every %u s   Tab: next table   q: quit",
		 rates->count, rates->count == 1 ? "" : "s", rates->running, top->interval);
}

/* Drawn into memory, then written at once, so that nothing flickers. */
static int top_draw(const struct top *top)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	struct screen screen = {
		.view = top->view, .line_end = "\033[K\r\n", .bold = "\033[7m", .plain = "\033[0m"
	};
	AUTO_FREE char *picture = NULL;
	struct rates rates;
	char head[128];
	size_t length;
	int r;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	screen.rows = size.ws_row;
	screen.columns = size.ws_col;
	r = rates_new(top->before, top->now, &rates);
	if (r < 0)
		return r;
	top_format_head(top, &rates, head);
	screen.stream = open_memstream(&picture, &length);
	if (screen.stream) {
		fputs("\033[H", screen.stream);
		screen_draw(&screen, head, &rates);
		fputs("\033[J", screen.stream);
		fclose(screen.stream);
		fwrite(picture, 1, length, stdout);
		fflush(stdout);
	}
	rates_deinit(&rates);
	return screen.stream ? 0 : -ENOMEM;
}

static void top_take_key(struct top *top, char key)
{
	if (key == 'q' || key == 'Q' || key == KEY_INTERRUPT)
		top->done = true;
	else if (key == '\t')
		top->view = (top->view + 1) % _SCREEN_VIEW_COUNT;
	else if (key >= '1' && key < '1' + _SCREEN_VIEW_COUNT)
		top->view = (enum screen_view)(key - '1');
}

static int64_t top_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until it is time for the next look; keys are obeyed at once. */
static int top_await(struct top *top)
{
	int64_t until = top_now_ms() + (int64_t)top->interval * 1000;
	int r = 0;

	while (r >= 0 && !top->done && top_now_ms() < until) {
		struct pollfd input = { STDIN_FILENO, POLLIN, 0 };
		char key;

		if (poll(&input, 1, (int)(until - top_now_ms())) < 0 && errno != EINTR)
			return -errno;
		if (input.revents && read(STDIN_FILENO, &key, 1) == 1)
			top_take_key(top, key);
		else if (input.revents)
			top->done = true; /* the terminal is gone */
		else if (!resized)
			continue;
		resized = false;
		r = top_draw(top);
	}
	return r;
}

static enum status top_run(struct top *top)
{
	/* Without SA_RESTART, to be noticed by poll(2). */
	const struct sigaction resize = { .sa_handler = top_on_resize };
	enum status status = top_get_statistics(top);
	int r = 0;

	if (status != STATUS_OK)
		return status;
	sigaction(SIGWINCH, &resize, NULL);
	service_stop_asking(top->invocation);
	terminal_open_screen();
	while (status == STATUS_OK && r >= 0 && !top->done) {
		r = top_draw(top);
		if (r >= 0)
			r = top_await(top);
		if (r >= 0 && !top->done)
			status = top_get_statistics(top);
	}
	terminal_restore();
	return r < 0 ? service_failed(r, NULL) : status;
}

/* ---- Once ---- */

static enum status top_print(struct top *top)
{
	const struct screen screen = {
		.stream = stdout, .line_end = "\n", .bold = "", .plain = ""
	};
	struct rates rates;
	char head[64];
	int r;

	r = rates_new(top->before, top->now, &rates);
	if (r < 0)
		return service_failed(r, NULL);
	snprintf(head, sizeof(head), "%zu VM%s, %zu running", rates.count,
		 rates.count == 1 ? "" : "s", rates.running);
	if (top->invocation->json)
		r = json_print(rates_to_json(&rates));
	else
		screen_draw(&screen, head, &rates);
	rates_deinit(&rates);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status top_run_once(struct top *top)
{
	enum status status = top_get_statistics(top);

	if (status != STATUS_OK)
		return status;
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_sec = top->interval },
			      NULL);
	status = top_get_statistics(top);
	return status == STATUS_OK ? top_print(top) : status;
}

enum status command_top(struct invocation *invocation)
{
	bool once = invocation_has(invocation, "once") || invocation->json;
	struct top top = { .invocation = invocation, .interval = once ? INTERVAL_ONCE : INTERVAL };
	enum status status;

	if (!invocation_number(invocation, "interval", INTERVAL_MAX, &top.interval))
		return STATUS_USAGE;
	if (top.interval == 0)
		return usage_error(invocation, "--interval must be 1 to %d seconds", INTERVAL_MAX);
	if (!once && !terminal_is_there())
		return usage_error(invocation, "this is no terminal; --once prints, and ends");
	status = once ? top_run_once(&top) : top_run(&top);
	json_object_put(top.before);
	json_object_put(top.now);
	return status;
}
