/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal on standard input, made raw and put back. */
#include "vmms/vmctl/terminal.h"

#include "common/base/cc.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t is_raw;

bool terminal_is_there(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

void terminal_restore(void)
{
	if (is_raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	is_raw = false;
}

/* tcsetattr(3) may be called from a signal handler. */
static void restore_and_die(int number)
{
	terminal_restore();
	signal(number, SIG_DFL);
	raise(number);
}

void terminal_make_raw(void)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	raw = saved;
	cfmakeraw(&raw);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], restore_and_die);
	atexit(terminal_restore);
	/* Not TCSADRAIN: a terminal that nobody reads would hold us up. */
	is_raw = true;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}
