function _wacoex_completion
    set -l line (commandline -cp)
    set -l found (env _TYPER_COMPLETE_ARGS="$line" \
        _WACOEX_COMPLETE=complete_fish wacoex 2>/dev/null)
    if test -n "$found[1]"
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end

complete --command wacoex --no-files --keep-order --arguments '(_wacoex_completion)'
