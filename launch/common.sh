# Shared by the two set-up commands: finds Python, makes .venv beside the source, installs the pinned versions once.

# Bytecode is kept: a command and a test start many processes, and each would compile all modules anew.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }

find_python() {
    # The first Python from 3.11 to 3.13 that can make a virtual environment; PYTHON names one in its place.
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        if "$name" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            printf '%s\n' "$name"
            return
        fi
    done
    say "no Python 3.11, 3.12 or 3.13 with venv found (tried ${PYTHON:-python3.11 python3.12 python3.13 python3 python});" \
        "install one (Debian: apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python $0"
    exit 3
}

install() {
    # Makes .venv, and installs into it unless the stamp says that exactly this was installed before.
    local python stamp wanted
    stamp=.venv/.hyperofa-installed
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        "$python" -m venv .venv
    fi
    wanted=$(.venv/bin/python -c 'import hashlib, pathlib, sys
files = ("requirements/constraints.txt", "pyproject.toml", "setup.py", "eval/pyproject.toml", "launch/common.sh")
print(hashlib.sha256(b"".join(pathlib.Path(f).read_bytes() for f in files)).hexdigest(), sys.version.split()[0], pathlib.Path.cwd())')
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    rm -f "$stamp"
    say "installing the pinned versions into .venv (the first time this takes some minutes)"
    # Constraints hold in the isolated builds of source distributions too (both names: pip has changed which one counts).
    export PIP_CONSTRAINT="$PWD/requirements/constraints.txt" PIP_BUILD_CONSTRAINT="$PWD/requirements/constraints.txt"
    # Python 3.12's pip would run seqeval's setup.py outside any isolated build, where its build requirement breaks.
    export PIP_USE_PEP517=1 DS_BUILD_OPS=0 PIP_DISABLE_PIP_VERSION_CHECK=1
    # Most modules are never imported, and Python compiles those that are when they first are.
    local pip=(.venv/bin/python -m pip install --quiet --no-compile)
    "${pip[@]}" torch setuptools wheel
    # DeepSpeed's build looks for the installed torch; it compiles nothing.
    "${pip[@]}" --no-build-isolation deepspeed
    # An older hyperofa holds the harness too: removed after the new harness came, it would take the hyperofa-eval command along.
    .venv/bin/python -m pip uninstall --quiet --quiet --yes hyperofa
    "${pip[@]}" --editable ./eval --editable '.[train,dev]'
    printf '%s\n' "$wanted" >"$stamp"
}
