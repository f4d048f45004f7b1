# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae completion``: shtab, which writes the script, is imported here alone."""

SHELLS = ('bash', 'zsh', 'tcsh')
# of options and words that are names of files or folders
FILES = ('IMAGE', 'OUT', 'CAT', 'TABLE', 'SET', 'MODEL', 'LABELS', 'CONFIG.toml', 'HTML', 'REG',
         'PNG', 'MAP', 'FILE', 'FOLDER', 'MODEL.galvae', 'NEW.galvae', 'ADAPTED', 'CSV', 'TREE',
         'RUN', 'ROW|ID|IMAGE')


def add_completion(parser):
    parser.describe(
        'Print the script by which a shell completes verbs, options and files. Bash reads it '
        'from ~/.local/share/bash-completion/completions/galvae, or by its command source; zsh '
        "as _galvae from a folder of its fpath. Needs the 'shell' extra to be printed, and "
        'nothing where it is used.',
        'galvae completion bash > galvae.bash',
        'galvae completion zsh > _galvae',
        run=_run_completion)
    parser.add_argument('shell', choices=SHELLS)


def _run_completion(options):
    from galvae_affiliated.scripts._command import build_parser

    try:
        import shtab
    except ImportError:
        raise ImportError("the completion needs shtab: pip install 'galvae_affiliated[shell]'") \
            from None
    parser = build_parser()
    parser.commands.help = 'what to do'  # what has none is left out
    for verb in parser.verbs.values():
        verb.mark_files(FILES, shtab.FILE)
    print(shtab.complete(parser, options.shell))
