/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pacemaker's command line tools, by which vmctl tells a cluster what is wanted of VMs.
 *
 * Words of a command are closed by NULL; the first is the program, found by $PATH.
 */
#pragma once

#include "vmms/vmctl/command.h"

#define CRM_ANSWER_MAX 256 /* bytes, with its NUL */

/* This host is a node of a cluster: its tools are installed, and answer. */
bool crm_is_here(void);

/*
 * Runs it and waits for its end; with --dry-run it is printed instead, as a shell takes it. Return:
 * STATUS_OK; else it has said why.
 */
enum status crm_run(const struct invocation *invocation, const char *const *words);

/*
 * The first line that it prints, cut where it does not fit; what it says on standard error is not
 * shown. Return: whether it has ended well.
 */
bool crm_ask(const char *const *words, char answer[static CRM_ANSWER_MAX]);

/* This node gives away what the cluster has here: 'vmctl drain' without hosts. */
enum status cluster_drain(const struct invocation *invocation);

/* The name of this node. Return: STATUS_OK; else it has been said that there is no cluster. */
enum status crm_node_name(char name[static CRM_ANSWER_MAX]);
