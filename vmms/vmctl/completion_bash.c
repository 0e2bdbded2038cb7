/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Completion for bash.
 *
 * One function of the script is the table: for the words of a command, or of a part of one, it says
 * what can follow. Another walks along the command line, and the rest is the same for all commands.
 * What is to be completed is told by kinds: vm, switch, cpu-group, file, text, or choices with |
 * between them.
 */
#include "vmms/vmctl/completion.h"

#include <stdio.h>

static const char begin[] =
	"# bash completion for vmctl; made by 'vmctl completion bash'\n"
	"\n"
	"# Of a command: 'words', the words of commands that it begins; or 'options' with their\n"
	"# kinds, and the kinds of its first and its other arguments.\n"
	"_vmctl_describe() {\n"
	"\twords='' options='' first='' others=''\n"
	"\tcase $1 in\n";

static const char end[] =
	"}\n"
	"\n"
	"# The kind of an option's value, or nothing if it takes none.\n"
	"_vmctl_kind() {\n"
	"\tlocal option\n"
	"\tfor option in $options; do\n"
	"\t\tif [[ $option == \"$1\":* ]]; then kind=${option#*:}; fi\n"
	"\tdone\n"
	"}\n"
	"\n"
	"_vmctl_option_names() {\n"
	"\tlocal option\n"
	"\tfor option in $options; do echo \"${option%%:*}\"; done\n"
	"}\n"
	"\n"
	"_vmctl_offer() {\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$current\")\n"
	"}\n"
	"\n"
	"_vmctl_complete() {\n"
	"\tcase $1 in\n"
	"\t'' | text) ;;\n"
	"\tvm) _vmctl_offer \"$(vmctl \"${bus[@]}\" list --names </dev/null 2>/dev/null)\" ;;\n"
	"\tswitch) _vmctl_offer \"$(vmctl \"${bus[@]}\" switch list --names </dev/null "
	"2>/dev/null)\" ;;\n"
	"\tcpu-group) _vmctl_offer \"$(vmctl \"${bus[@]}\" cpu-group list --names </dev/null "
	"2>/dev/null)\" ;;\n"
	"\thost) declare -F _known_hosts_real >/dev/null && _known_hosts_real -a -- \"$current\" "
	";;\n"
	"\tfile) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- \"$current\") ;;\n"
	"\t*) _vmctl_offer \"${1//|/ }\" ;;\n"
	"\tesac\n"
	"}\n"
	"\n"
	"# A host, which may be several words: user, @, name, :, port.\n"
	"_vmctl_join() {\n"
	"\tvalue=${COMP_WORDS[i]}\n"
	"\twhile ((i + 1 <= COMP_CWORD)) && [[ ${COMP_WORDS[i+1]} == [@:]* ]]; do\n"
	"\t\tvalue+=${COMP_WORDS[i+1]}${COMP_WORDS[i+2]-}\n"
	"\t\t((i += 2))\n"
	"\tdone\n"
	"}\n"
	"\n"
	"_vmctl() {\n"
	"\tlocal current=${COMP_WORDS[COMP_CWORD]} command='' arguments=0 kind i word\n"
	"\tlocal bus=(--no-ask-password)\n"
	"\tlocal words options first others value\n"
	"\tCOMPREPLY=()\n"
	"\t[[ $current != [=@:] ]] || current=''\n"
	"\t_vmctl_describe ''\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]} kind=''\n"
	"\t\t[[ $word != -H ]] || word=--host\n"
	"\t\tif [[ $word == -* ]]; then\n"
	"\t\t\t_vmctl_kind \"$word\"\n"
	"\t\t\t[ -z \"$kind\" ] || ((i++))\n"
	"\t\t\t# --option=value is three words\n"
	"\t\t\tif [ \"${COMP_WORDS[i]}\" = = ] && ((i < COMP_CWORD)); then ((i++)); fi\n"
	"\t\t\tcase $word in\n"
	"\t\t\t--user | --system) bus+=(\"$word\") ;;\n"
	"\t\t\t--address) bus+=(\"$word\" \"${COMP_WORDS[i]}\") ;;\n"
	"\t\t\t--host) _vmctl_join && bus+=(--host \"$value\") ;;\n"
	"\t\t\tesac\n"
	"\t\telif [ -n \"$words\" ]; then\n"
	"\t\t\tcommand+=${command:+ }$word\n"
	"\t\t\t_vmctl_describe \"$command\"\n"
	"\t\telse\n"
	"\t\t\t((++arguments))\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tif ((i > COMP_CWORD)); then _vmctl_complete \"$kind\"\n"
	"\telif [[ $current == -* ]]; then _vmctl_offer \"$(_vmctl_option_names)\"\n"
	"\telif [ -n \"$words\" ]; then _vmctl_offer \"$words\"\n"
	"\telif ((arguments == 0)); then _vmctl_complete \"$first\"\n"
	"\telse _vmctl_complete \"$others\"; fi\n"
	"}\n"
	"complete -F _vmctl vmctl\n";

static void bash_print_kind(enum value_kind kind, const char *choices, size_t length)
{
	static const char *const names[] = { [VALUE_NONE] = "",
					     [VALUE_TEXT] = "text",
					     [VALUE_VM] = "vm",
					     [VALUE_SWITCH] = "switch",
					     [VALUE_CPU_GROUP] = "cpu-group",
					     [VALUE_FILE] = "file",
					     [VALUE_HOST] = "host",
					     [VALUE_CHOICE] = NULL };

	if (names[kind])
		fputs(names[kind], stdout);
	else if (choices)
		printf("%.*s", (int)length, choices);
}

static void bash_print_options(const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		size_t length = 0;
		const char *choices = rows->value ? completion_option_choices(rows, &length) : NULL;

		printf(" --%s:", rows->name);
		bash_print_kind(rows->kind, choices, length);
	}
}

static void bash_print_command(const struct command *command)
{
	size_t length;
	const char *choices = completion_argument_choices(command, &length);

	printf("\t'%s')\n\t\toptions='", command->name);
	bash_print_options(command->options);
	printf("' first='");
	bash_print_kind(command->argument_kinds[0], choices, length);
	printf("' others='");
	bash_print_kind(command->argument_kinds[1], NULL, 0);
	printf("'\n\t\t;;\n");
}

static void bash_print_group(const struct command *first)
{
	size_t length = completion_group_length(first);

	printf("\t'%.*s')\n\t\twords='", (int)length, first->name);
	command_for_each (command) {
		if (completion_is_in_group(command, first))
			printf("%s ", command->name + length + 1);
	}
	puts("'\n\t\t;;");
}

/* Commands of one word, and the groups. */
static void bash_print_first_words(void)
{
	printf("\t'')\n\t\twords='");
	command_for_each (command) {
		size_t length = completion_group_length(command);

		if (length == 0)
			printf("%s ", command->name);
		else if (completion_begins_group(command))
			printf("%.*s ", (int)length, command->name);
	}
	puts("'\n\t\t;;");
}

void completion_print_bash(void)
{
	fputs(begin, stdout);
	bash_print_first_words();
	command_for_each (command) {
		if (completion_begins_group(command))
			bash_print_group(command);
		bash_print_command(command);
	}
	printf("\tesac\n\toptions+='");
	bash_print_options(global_options);
	puts("'");
	fputs(end, stdout);
}
