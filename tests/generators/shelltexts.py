"""Random shell texts that try to start one program, `canary`, by every construct of bash.

Seeded: the same seed gives the same texts. Owns the grammar of the attempts; refuses to know what
is allowed.
"""

from random import Random

NAMES = [
    "canary", "canary x", "\\canary", "can''ary", 'can""ary', "'canary'", '"canary"', "$'canary'",
    "$'\\x63anary'", "c\\anary", "/usr/local/bin/canary", "/usr/local/bin/can*", "can{ary,}",
    "{canary,x}", "`ls a` `canary`", "`ls a``canary`", "ca``nary", "~/canary", "$'\\x{63}anary'",
    "!$", '$"canary"',
    "$c", '"$c"', "${c}", "${c@P}", "${u:-canary}", "${c:0:6}", "`echo canary`",
    "$(echo canary)", "command canary", "command -p canary", "builtin canary", "exec canary",
    "exec -a ls canary", "eval canary", "env canary", "env -i canary", "env -S canary",
    "env -S ls -S canary", "env -S canary -S ls", "env A=b canary", "timeout 5 canary",
    "xargs canary", "time canary", "! canary", "coproc canary", "sh -c canary", "bash -c canary",
    "bash -c 'canary'", 'sh -c "$c"', "find . -maxdepth 0 -exec canary ;",
    "find . -maxdepth 0 -exec canary {} +",
    "tar -cf /dev/null --checkpoint=1 --checkpoint-action=exec=canary .",
    "sort --compress-program=canary /dev/null", "f", "ls",
    "echo canary", "echo a", "true", ":", "\\\ncanary", "cana\\\nry", "canary\r", "canary\t",
    "/bin/../usr/local/bin/canary", "//usr/local/bin/canary", "$'can\\u0061ry'", "c$()anary",
    "c``anary", "c${u}anary", "c$u''anary", "${c/x/y}", "${!n}", "$[canary]", "${a[0]}",
]  # fmt: skip
BLANKS = [" ", " ", " ", "\t", "  ", " \\\n", "", "\n", "\r", "\u00a0"]
SEPARATORS = [";", "\n", "&&", "||", "|", "&", "|&", "; ", ";;", " #", "\n#", "&>x ", ">&x ", ""]
PREFIXES = [
    "", "", "", "", "", "c=canary; ", "n=c; c=canary; ", "a=(canary); ", "IFS=x; ", "x=1 ", "x+=1 ",
    "f() { canary; }; ", "f() { ls; }; ", "canary() { ls; }; ", "canary() { ls; } & ",
    "{ canary() { ls; }; } & ", "( canary() { ls; } ); ", "canary() { ls; }; unset -f canary; ",
    "canary() { ls; }; command unset -f canary; ", "canary() { ls; }; eval unset -f canary; ",
    "canary() { ls; }; eval 'un''set -f canary'; ", "false && canary() { ls; }; ",
    "canary() { ls; } > src/x & ", "canary() { ls; } | ls; ", "function canary { ls; }; ",
    "alias ls=canary; ", "alias ls='ls #'\n", "trap canary EXIT; ", "trap canary DEBUG; ",
    'trap "$c" EXIT; ', "shopt -s expand_aliases; ", "set -o posix; ", "set -f; ", "set -k; ",
    "hash -p /usr/local/bin/canary ls; ", "enable -n echo; ", "PATH=/usr/local/bin:$PATH; ",
    "BASH_ENV=/tmp/x ", "PS4='$(canary)'; set -x; ", "PROMPT_COMMAND=canary; ", "LC_ALL=C ",
    "shopt -s extglob; ", "shopt -s extglob\n", "shopt -s nullglob; ", "shopt -s lastpipe; ",
    "set -e; ",
    "export -f canary; ", "declare -n n=c; ", "declare -i i='a[$(canary)]'; ", "exec 3>&1; ",
    "set +o histexpand; ", "set -- canary; ", "cd /usr/local/bin; ", "local x; ", "readonly x; ",
    "BASH_CMDS[ls]=/usr/local/bin/canary; ", "shopt -so posix\n", "POSIXLY_CORRECT=1\n",
    "exec() { ls; }; ", "HOME=/usr/local/bin; ", "set -k\n", "set -o history -o histexpand\n",
    "set -a; : ${PATH:=x}; ",
    "unset ls; ", "shift 0; ", "umask 0; ", "time ", "! ", "time -p ", "command ", "builtin ",
]  # fmt: skip
FRAMES = [
    "@", "@", "@", "( @ )", "{ @; }", "$( @ )", "echo $(@)", 'echo "$(@)"', "echo `@`",
    'echo "`@`"', "echo '$(@)'", "cat <(@)",
    "echo `ls a` `@`", 'echo "`ls a` `@`"', "echo `echo \\`@\\``", "echo `echo \\\\'; @ #'`",
    "echo \"`echo \\\"'\\\"; @ #'`\"", 'echo `echo "\\\\\\"; @ #"`',
    "echo x > >(@)", "echo $((a[$(@)]))",
    "echo $(( $(@) ))",
    "((a[$(@)]))", "((a['$(@)']))", "[[ -v a[$(@)] ]]", "[[ -v 'a[$(@)]' ]]", "[ -v 'a[$(@)]' ]",
    "test -v 'a[$(@)]'", "[[ 'a[$(@)]' -eq 1 ]]", "[[ a -eq 1 && @ ]]", "[[ a && @ ]]", "(( @ ))",
    "printf -v 'a[$(@)]' x", "read 'a[$(@)]' <<< x", "mapfile -C '@ #' -c 1 a <<< x",
    'mapfile -C "@ #" -c1 a <<< x', "unset 'a[$(@)]'", "let 'a[$(@)]'", "declare 'a[$(@)]=1'",
    "export 'a[$(@)]=1'", "echo ${x:-$(@)}", "echo ${x:-`@`}", 'echo "${x:-\'$(@)\'}"',
    "echo ${x:='$(@)'}", 'echo "${x:-"$(@)"}"', "echo ${x/$(@)/}", "echo ${x:$(@)}",
    "echo ${a[$(@)]}", "echo ${x[@]:0:$(@)}", "cat <<E\n$(@)\nE", "cat <<E\n`@`\nE",
    "cat <<'E'\n$(@)\nE", "cat <<-E\n\t$(@)\n\tE", "cat <<E\n\\$(@)\nE", "cat <<E\nE\n@\nE",
    "cat <<E; @\nE", "cat <<\\E\n@\nE", "cat <<A <<B\n$(@)\nA\n$(@)\nB", "cat <<'E F'\n@\nE F",
    "cat <<$'E'\nE\n@", "cat <<E\n@\n E\nE", 'cat <<"E"\n$(@)\nE', "cat <<E'F'\nE\n@\nEF",
    "cat <<< $(@)", "cat <<< '$(@)'", 'cat <<< "$(@)"', "if @; then :; fi", "if :; then @; fi",
    "while @; do break; done", "for i in $(@); do :; done", "for i in a; do @; done",
    "for ((i=$(@);0;)); do :; done", "case $(@) in esac", "case a in $(@)) ;; esac",
    "case a in a) @;; esac", "case a in (a) @ ;& b) ;; esac", "f() { @; }; f", "f() ( @ ); f",
    "function f { @; }; f", "eval '@'", 'eval "@"', "eval @", "trap '@' EXIT", "trap '@' DEBUG; :",
    "sh -c '@'", 'sh -c "@"', "bash -c '@'", 'bash -c "@"', "env sh -c '@'", "xargs sh -c '@'",
    "echo a | @", "echo a | xargs @", "@ > src/x", "> src/x @", "2>&1 @", "<src/x @", "@ <<< x",
    "x=$(@)", "x=(@)", "x=($(@))", "a[$(@)]=1", "a['$(@)']=1", "x=`@` ls", "coproc @",
    "coproc { @; }", "coproc X { @; }", "echo a #@", "echo a#; @", "echo '; @'", 'echo "; @"',
    "echo \\; @", "echo \\'; @ #'", 'echo \\"; @ #"', "echo $'\\'; @ #'", "echo \"'\"; @ #'",
    "echo '\"'; @ #\"", 'echo "\\"; @', "echo ${x#'}; @ #'}", "echo \"${x#'}; @ #'}\"",
    "echo ${x:-\\}; @ #}", 'echo "${x:-\\}"; @ #}"', "echo ${x:-'}'; @}",
    "sh -c \"echo $'a\\\\'; @ #'\"",
    "sh -c '[[ a && @ ]]'", "sh -c '(( @ ))'", "sh -c 'alias ls=\"ls #\"\nls \"\n@ #\"'",
    "alias x='@'\nx", "select i in $(@); do break; done <<< 1", "until @; do break; done",
    "ls -d $(@)", "ls {a,$(@)}", "ls ~$(@)", "ls *$(@)", "@ &", "@ & wait", "true && @ || :",
    ": ${x:=`@`}", ": $[$(@)]", ": $[a[$(@)]]", ": ${#a[$(@)]}", "[ $(@) = x ]",
    "[[ $(@) =~ x ]]", "[[ x =~ $(@) ]]", "find . -maxdepth 0 -exec sh -c '@' \\;",
    "timeout 5 bash -c '@'", "echo ${c@P}", 'echo "${x@P}"', "bash <<< '@'", "echo '@' | sh",
    "sh <<E\n@\nE", "source /dev/stdin <<< '@'", ". <(echo @)", "exec @", "command @", "builtin @",
    "bash -O expand_aliases -c 'alias ls=canary\nls'", "bash --posix -c '@'", "bash +e -c '@'",
    "[ a\n@\n]", "[[ a\n@\n]]", "ls [[ @ ]]", "ls [ @", "x=[ @", "{@;}", "( @", "echo )@",
    "!(@)", "time !(@)", "ls !(@)", "ls +(a|@)", "ls *.@(a|b); @", "f+() { @; }; f+",
    "x=(+(a)\n@\n)", "ls +(a) <<E\n@\nE", "for x in; do @; done", "for x in a; { @; }",
    "for ((i = 0; i < 1; i++)); do @; done", "@ 7<>src/x", "cat 7<>src/x <<'<>'\n>>\n@\n<>",
    "g() { @; }; g; canary() { ls; }", "trap '@' EXIT; canary() { ls; }", 'echo "${@:$#}" @',
    "trap '@' DEBUG; ls; canary() { ls; }", "canary() { ls; }; export -f canary; bash -c '@'",
    "canary() { ls; }; export -f canary; bash -p -c '@'", "compgen -W '$(@)'", "bash -ic '@'",
    "tar cIf '@ #' /dev/null .", "tar -cI '@ #' -f /dev/null .", "x='@'; find $x", "bash -Hc '@'",
    "x='@'; : ${y:=$(@)}", "alias ls='@ #'\nls",
]  # fmt: skip
JUNK = [
    "'", '"', "`", "\\", "$", "(", ")", "{", "}", "#", "\n", ";", "&", "|", "<", ">", "[", "]", " ",
    "$(", "<<E\n", "\nE\n", "$'", "${", "((", "))", "[[ ", " ]]", "=", "!", "*", "~",
]  # fmt: skip


def texts(seed: int, count: int) -> list[str]:
    chooser = Random(seed)
    return [_text(chooser) for _ in range(count)]


def _text(chooser: Random) -> str:
    text = _command(chooser, chooser.choice((0, 1, 1, 2, 2, 3)))
    if chooser.random() < 0.25:
        # Something amiss: a reading that holds together only for one of bash and the check.
        for _ in range(chooser.choice((1, 1, 2))):
            at = chooser.randrange(len(text) + 1)
            cut = chooser.choice((0, 0, 0, 1))
            text = text[:at] + chooser.choice(JUNK) + text[at + cut :]
    return text


def _command(chooser: Random, depth: int) -> str:
    if depth == 0:
        name = chooser.choice(NAMES)
        extra = chooser.choice(BLANKS) + chooser.choice(NAMES) if chooser.random() < 0.1 else ""
        return name + extra
    inner = _command(chooser, depth - 1)
    text = chooser.choice(FRAMES).replace("@", inner)
    if chooser.random() < 0.25:
        text = chooser.choice(PREFIXES) + text
    if chooser.random() < 0.2:
        text += chooser.choice(SEPARATORS) + chooser.choice(BLANKS) + _command(chooser, depth - 1)
    return text
