"""What the person sees and uses: each builds its controls, tells what is wished, shows results."""
