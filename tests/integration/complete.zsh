# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Prints what zsh offers for a command line, one word a line; the completion is in ./zsh. zsh completes
# in its line editor alone, which needs a terminal.
#
# usage: complete.zsh "COMMAND LINE"
zmodload zsh/zpty

# What it offers goes into a file; the calls with -O, -A and -D only ask what would match.
compadd() {
	[[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]] || {
		local -a shown
		builtin compadd -O shown "$@"
		print -rl -- $shown >>offered
	}
	builtin compadd "$@"
}
finish() { print finished }

rm -f offered
{
	functions compadd finish
	print -r -- 'autoload -U compinit && compinit -u -C -d ./functions-of-zsh
		functions[_vmctl_file]=$(<zsh)
		compdef _vmctl_file vmctl
		zle -N finish && bindkey "^X" finish
		LISTMAX=0 PROMPT= RPROMPT=
		print re""ady'
} >set-up

zpty terminal zsh -f -i
zpty -w terminal 'source ./set-up'
zpty -r terminal seen '*ready*'
zpty -w -n terminal "$1"$'\t\x18'
zpty -r terminal seen '*finished*'
[[ ! -e offered ]] || sort -u offered
